//! Labels that say where an image comes from: what its crate says of itself, and which commit it was built from.

use std::{collections::BTreeMap, path::Path, process::Command};

use cargo_metadata::Package;

use super::{BuildError, notes};

/// Longer texts belong into documents.
const LABEL_BYTES_MAX: usize = 1024;

/// Returns the labels of a crate's image.
pub(super) fn of(package: &Package, directory: &Path) -> Result<BTreeMap<String, String>, BuildError> {
    let mut labels = BTreeMap::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) {
            let value = notes::shortened(value, LABEL_BYTES_MAX);
            labels.insert(format!("org.opencontainers.image.{name}"), value);
        }
    };
    add("title", Some(package.name.as_str()));
    add("version", Some(&package.version.to_string()));
    add("description", package.description.as_deref());
    add("authors", Some(&package.authors.join(", ")));
    add("licenses", package.license.as_deref());
    add("source", package.repository.as_deref());
    add("url", package.homepage.as_deref());
    add("documentation", package.documentation.as_deref());
    if let Some(commit) = Commit::of(directory) {
        add("revision", Some(&commit.id));
        add("created", Some(&commit.time));
    }
    if let Some(text) = notes::of(directory, &package.version.to_string()) {
        labels.insert(notes::RELEASE_NOTES_LABEL.to_owned(), text);
    }
    Ok(labels)
}

/// The commit of a working tree.
struct Commit {
    id: String,
    time: String,
}

impl Commit {
    /// The commit that a crate is at; none without git, and none if something was changed since: then it would be a lie.
    fn of(directory: &Path) -> Option<Self> {
        git(directory, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
        if !git(directory, &["status", "--porcelain"])?.is_empty() {
            return None;
        }
        let shown = git(
            directory,
            &["log", "-1", "--no-show-signature", "--format=%H %cI"],
        )?;
        let (id, time) = shown.split_once(' ')?;
        Some(Self {
            id: id.to_owned(),
            time: time.to_owned(),
        })
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .args(arguments)
        .env("GIT_OPTIONAL_LOCKS", "0");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable); // a hook's own repository isn't meant
    }
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
