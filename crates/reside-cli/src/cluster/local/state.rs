//! Whether a cluster runs here, and stopping it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use reside_local::{ClientError, RuntimeClient};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cli::App;
use crate::error::CommandError;
use crate::paths::ClusterPaths;

/// Longer than all processes together may take to end before they are killed.
const STOP_TIME: Duration = Duration::from_secs(60);

/// A cluster of this machine.
#[derive(Clone, Debug)]
pub struct LocalCluster {
    name: String,
    paths: ClusterPaths,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its runtime answers.
    Running,
    /// It is there, and no process runs it.
    Stopped,
    /// It isn't on this machine.
    Remote,
}

impl State {
    /// As it is shown.
    pub fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Remote => "remote",
        }
    }
}

impl LocalCluster {
    /// The cluster of that name, whether there is one or not.
    pub fn new(app: &App, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            paths: app.paths.cluster(name),
        }
    }

    /// The cluster of that name, if it was ever started here.
    pub fn existing(app: &App, name: &str) -> Result<Self, CommandError> {
        let cluster = Self::new(app, name);
        if cluster.exists() {
            return Ok(cluster);
        }
        Err(
            CommandError::failed(format!("there is no cluster `{name}` on this machine"))
                .because(format!("`{}` does not exist", cluster.paths.folder().display())),
        )
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its state lies.
    pub fn paths(&self) -> &ClusterPaths {
        &self.paths
    }

    /// Whether it was ever started here.
    pub fn exists(&self) -> bool {
        self.paths.folder().is_dir()
    }

    /// A client of its runtime.
    pub fn client(&self) -> RuntimeClient {
        RuntimeClient::new(self.paths.socket())
    }

    /// What it is doing.
    pub async fn state(&self) -> State {
        if !self.exists() {
            return State::Remote;
        }
        match UnixStream::connect(self.paths.socket()).await {
            Ok(_) => State::Running,
            Err(_) => State::Stopped,
        }
    }

    /// The process of its runtime; only meant while it runs.
    pub fn process_id(&self) -> Option<u32> {
        fs::read_to_string(self.paths.lock()).ok()?.trim().parse().ok()
    }

    /// Stops it and returns when it has; `false` if it didn't run.
    pub async fn stop(&self) -> Result<bool, CommandError> {
        let failed = |why: String| {
            CommandError::failed(format!("cannot stop the cluster `{}`", self.name)).because(why)
        };
        match self.client().shutdown().await {
            Ok(()) => {}
            Err(ClientError::Unreachable { .. }) => return Ok(false),
            // It may end before it has answered.
            Err(ClientError::Broken(_)) => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        match timeout(STOP_TIME, lock_is_free(self.paths.lock())).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => {
                let kill = self
                    .process_id()
                    .map(|pid| format!("end it with `kill -9 {pid}`"));
                let failed = failed(format!("it still runs after {} seconds", STOP_TIME.as_secs()));
                Err(match kill {
                    Some(kill) => failed.help(kill),
                    None => failed,
                })
            }
        }
    }

    /// Deletes everything that it has kept. It must not run.
    pub fn delete(&self) -> Result<(), CommandError> {
        fs::remove_dir_all(self.paths.folder()).map_err(|why| {
            CommandError::failed(format!("cannot delete `{}`", self.paths.folder().display())).because(why)
        })
    }
}

/// Returns when no process holds the lock. The kernel wakes us: nothing is polled.
async fn lock_is_free(path: PathBuf) -> std::io::Result<()> {
    let waiting = tokio::task::spawn_blocking(move || File::options().read(true).open(path)?.lock_shared());
    waiting.await.map_err(std::io::Error::other)?
}
