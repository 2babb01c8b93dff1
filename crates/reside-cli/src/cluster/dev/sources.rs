//! The files that a program was made of, and waiting until one of them changes. Polled: that works on every file system,
//! and a few hundred files cost nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// A file as it was: when it was changed, and its length. `None`: it isn't there.
type Stamp = Option<(SystemTime, u64)>;

/// Files as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, Stamp>);

impl Sources {
    /// What a program was made of: what cargo noted beside it, and the manifests above its crate.
    pub fn of(program: &Path, crate_dir: &Path) -> io::Result<Self> {
        let noted = fs::read_to_string(program.with_extension("d"))?;
        let manifests = crate_dir
            .ancestors()
            .flat_map(|folder| ["Cargo.toml", "Cargo.lock"].map(|name| folder.join(name)))
            .filter(|path| path.is_file());
        let files = prerequisites(&noted).into_iter().chain(manifests);
        Ok(Self(files.map(|file| (file.clone(), stamp(&file))).collect()))
    }

    /// The same files as they are now.
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|file| (file.clone(), stamp(file))).collect())
    }

    /// These files, but those that another one knows as it knows them: it looked before.
    pub fn seen_since(mut self, earlier: &Self) -> Self {
        for (file, stamp) in &mut self.0 {
            if let Some(seen) = earlier.0.get(file) {
                *stamp = *seen;
            }
        }
        self
    }

    /// Waits until a file has changed, and then until none does for a moment.
    pub async fn changed(&self) {
        let mut last = self.clone();
        loop {
            sleep(INTERVAL).await;
            let now = self.now();
            if now == last && now != *self {
                return;
            }
            last = now;
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let metadata = file.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The files of a rule of make, `target: file file`, in which spaces within a name are escaped.
fn prerequisites(rules: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rules.lines().next().and_then(|rule| rule.split_once(": ")) else {
        return Vec::new();
    };
    let mut names = vec![String::new()];
    let mut chars = files.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => names.last_mut().expect("there is one").extend(chars.next()),
            ' ' => names.push(String::new()),
            other => names.last_mut().expect("there is one").push(other),
        }
    }
    names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_are_one_file() {
        let files = prerequisites("/t/a b: /s/lib.rs /s/my\\ file.rs\n\n/s/lib.rs:\n");
        assert_eq!(files, [Path::new("/s/lib.rs"), Path::new("/s/my file.rs")]);
        assert_eq!(prerequisites(""), Vec::<PathBuf>::new());
    }

    #[tokio::test]
    async fn a_change_is_noticed_also_if_it_came_before_anybody_waited() {
        let folder = tempfile::tempdir().unwrap();
        let (program, source) = (folder.path().join("app"), folder.path().join("lib.rs"));
        fs::write(&source, "1").unwrap();
        let rule = format!("{}: {}\n", program.display(), source.display());
        fs::write(program.with_extension("d"), rule).unwrap();
        let sources = Sources::of(&program, folder.path()).unwrap();
        let before = sources.now();
        fs::write(&source, "22").unwrap();
        sources.changed().await;
        let again = Sources::of(&program, folder.path()).unwrap().seen_since(&before);
        again.changed().await;
        let now = again.now();
        fs::remove_file(&source).unwrap();
        now.changed().await;
    }
}
