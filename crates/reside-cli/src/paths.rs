//! Where state lies: below `RESIDE_HOME` if that is set, else in the XDG places.

use std::path::{Path, PathBuf};

use crate::env;
use crate::error::CommandError;

/// The places.
#[derive(Clone, Debug)]
pub struct Paths {
    config: PathBuf,
    data: PathBuf,
    is_moved: bool,
}

impl Paths {
    /// Finds the places in the environment.
    pub fn from_environment() -> Result<Self, CommandError> {
        if let Some(home) = env::read(env::HOME) {
            let home = std::path::absolute(&home).map_err(|why| {
                CommandError::failed(format!("cannot use `{}` of {}", home.display(), env::HOME)).because(why)
            })?;
            return Ok(Self::below(home));
        }
        Ok(Self {
            config: xdg("XDG_CONFIG_HOME", ".config")?.join("reside"),
            data: xdg("XDG_DATA_HOME", ".local/share")?.join("reside"),
            is_moved: false,
        })
    }

    /// Everything below one folder.
    pub fn below(home: PathBuf) -> Self {
        Self {
            config: home.clone(),
            data: home,
            is_moved: true,
        }
    }

    /// Tells whether `RESIDE_HOME` is set: then nothing may be kept anywhere else.
    pub fn is_moved(&self) -> bool {
        self.is_moved
    }

    /// Accounts, clusters and contexts.
    pub fn config(&self) -> PathBuf {
        self.config.join("config.yaml")
    }

    /// What encrypts the accounts' secrets, where there is no keyring.
    pub fn identity(&self) -> PathBuf {
        self.config.join("identity.txt")
    }

    /// The local image store.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Logins and mirrors: beside the store, where those who have the store find it.
    pub fn registries(&self) -> PathBuf {
        self.data.join("registries.json")
    }

    /// Images as files.
    pub fn unpacked(&self) -> PathBuf {
        self.data.join("unpacked")
    }

    /// Which images hold this program.
    pub fn system_images(&self) -> PathBuf {
        self.data.join("system-images.json")
    }

    /// All local clusters.
    pub fn clusters(&self) -> PathBuf {
        self.data.join("clusters")
    }

    /// Everything of a local cluster.
    pub fn cluster(&self, name: &str) -> ClusterPaths {
        ClusterPaths {
            folder: self.clusters().join(name),
        }
    }
}

/// The XDG specification says that relative paths are to be ignored.
fn xdg(variable: &str, default: &str) -> Result<PathBuf, CommandError> {
    if let Some(path) = env::read(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
    {
        return Ok(path);
    }
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    home.map(|home| home.join(default)).ok_or_else(|| {
        CommandError::failed("cannot tell where to keep state")
            .because("HOME is not set")
            .help(format!("set {} to a folder", env::HOME))
    })
}

/// Where one local cluster keeps its state. The runtime owns the folder; what else is in it is named here.
#[derive(Clone, Debug)]
pub struct ClusterPaths {
    folder: PathBuf,
}

impl ClusterPaths {
    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ports, and how far the cluster has been made.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("cluster.json")
    }

    /// The keys of the first replicas.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys.json")
    }

    /// The database of the sync server.
    pub fn database(&self) -> PathBuf {
        self.folder.join("jazz.db")
    }

    /// What a cluster in the background has to say.
    pub fn log(&self) -> PathBuf {
        self.folder.join("up.log")
    }

    /// The runtime's objects.
    pub fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    /// The runtime's lock service.
    pub fn locks(&self) -> PathBuf {
        self.folder.join("locks.sock")
    }

    /// The runtime's API.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("runtime.sock")
    }
}
