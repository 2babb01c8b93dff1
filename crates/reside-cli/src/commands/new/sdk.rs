//! Where a new crate gets the SDK from: the workspace that it belongs to, a clone of ReSide, or ReSide's repository.

use std::path::{Path, PathBuf};

use crate::error::CommandError;

/// The folders whose crates belong to the workspace of a clone.
const MEMBERS: [&str; 4] = ["contracts", "replicas", "examples/contracts", "examples/replicas"];

/// Where the SDK is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// The crate belongs to ReSide's own workspace.
    Workspace,
    /// In a clone. If that is around the crate without having it as a member, the crate needs a workspace of its own.
    Clone {
        /// The clone's folder.
        root: PathBuf,
        /// Whether the clone is around the crate.
        is_around: bool,
    },
    /// In ReSide's repository.
    Repository,
}

/// The clone of ReSide that a folder is in, if it is in one.
pub fn workspace_around(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|root| is_clone(root)).map(Path::to_owned)
}

fn is_clone(root: &Path) -> bool {
    root.join("Cargo.toml").is_file() && root.join("crates/reside/Cargo.toml").is_file()
}

impl Sdk {
    /// The SDK of a clone.
    pub fn at(root: &Path) -> Result<Self, CommandError> {
        let root = root.canonicalize().ok().filter(|root| is_clone(root));
        let root = root.ok_or_else(|| {
            CommandError::usage("`--sdk` names no clone of ReSide")
                .help("a clone has a folder `crates/reside`")
        })?;
        Ok(Self::Clone {
            root,
            is_around: false,
        })
    }

    /// The nearest SDK for a crate that will be in this folder.
    pub fn for_crate_in(folder: &Path) -> Self {
        let Some(root) = workspace_around(folder) else {
            return Self::Repository;
        };
        let parent = folder.parent().unwrap_or(folder);
        if MEMBERS.iter().any(|members| root.join(members) == parent) {
            Self::Workspace
        } else {
            Self::Clone {
                root,
                is_around: true,
            }
        }
    }

    /// What follows `reside = ` or the name of another crate of ours in `Cargo.toml`.
    pub fn dependency(&self, name: &str) -> String {
        match self {
            Self::Workspace => "{ workspace = true }".to_owned(),
            Self::Clone { root, .. } => {
                let path = root.join("crates").join(name);
                format!("{{ path = {:?} }}", path.display().to_string())
            }
            Self::Repository => format!("{{ git = {:?} }}", env!("CARGO_PKG_REPOSITORY")),
        }
    }
}
