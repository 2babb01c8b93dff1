//! Files that a crate wants in its image beside the program, from `[package.metadata.reside]` in its `Cargo.toml`:
//!
//! ```toml
//! [package.metadata.reside]
//! files = { "/etc/words.txt" = "assets/words.txt", "/web" = "web" }
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use cargo_metadata::Package;
use serde::Deserialize;

use super::BuildError;
use crate::pack::{LayerFile, PROGRAM_PATH};

const FILES_MAX: usize = 10_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// By the path in the image; a folder is taken with everything in it.
    #[serde(default)]
    files: BTreeMap<String, PathBuf>,
}

/// Returns the files, in the order of their paths in the image.
pub(super) fn of(package: &Package, directory: &Path) -> Result<Vec<LayerFile>, BuildError> {
    let refused = |reason: String| BuildError::Settings {
        package: package.name.to_string(),
        reason,
    };
    let Some(settings) = package.metadata.get("reside") else {
        return Ok(Vec::new());
    };
    let settings: Settings =
        serde_json::from_value(settings.clone()).map_err(|error| refused(error.to_string()))?;
    let mut files = Vec::new();
    for (inside, source) in &settings.files {
        check(inside).map_err(|reason| refused(format!("`{inside}` {reason}")))?;
        let path = directory.join(source);
        add(&mut files, inside.trim_end_matches('/'), &path)
            .map_err(|error| refused(format!("`{}`: {error}", source.display())))?;
    }
    files.sort();
    if let Some(pair) = files.windows(2).find(|pair| pair[0].inside == pair[1].inside) {
        return Err(refused(format!("`{}` is named twice", pair[0].inside)));
    }
    Ok(files)
}

fn check(inside: &str) -> Result<(), &'static str> {
    let path = Path::new(inside);
    let is_plain = path
        .components()
        .skip(1)
        .all(|component| matches!(component, Component::Normal(_)));
    if !path.is_absolute() || !is_plain || path == Path::new("/") {
        return Err("is not an absolute path in the image, as `/etc/words.txt`");
    }
    if path.starts_with(PROGRAM_PATH) {
        return Err("is where the program lies");
    }
    Ok(())
}

fn add(files: &mut Vec<LayerFile>, inside: &str, path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .ok_or_else(|| io::Error::other("a name in it is not UTF-8"))?;
            add(files, &format!("{inside}/{name}"), &entry.path())?;
        }
        return Ok(());
    }
    if !metadata.is_file() {
        // A link may lead to something else on another machine.
        return Err(io::Error::other(format!(
            "{} is neither a file nor a folder",
            path.display()
        )));
    }
    if files.len() == FILES_MAX {
        return Err(io::Error::other(format!("there are more than {FILES_MAX} files")));
    }
    files.push(LayerFile {
        inside: inside.to_owned(),
        path: path.to_owned(),
        is_executable: metadata.permissions().mode() & 0o100 != 0,
    });
    Ok(())
}
