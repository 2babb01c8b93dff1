//! Whether a cluster runs here, and stopping it.

use std::fs;
use std::time::Duration;

use reside_local::{ClientError, RuntimeClient, folder_lock};
use tokio::time::{sleep, timeout};

use crate::cli::App;
use crate::error::CommandError;
use crate::paths::ClusterPaths;

/// Longer than all processes together may take to end before they are killed.
const STOP_TIME: Duration = Duration::from_secs(60);
/// How long a runtime may take to listen to us: one that starts, or that is asked by many at once.
const REACH_TIME: Duration = Duration::from_secs(10);
/// Wait before a runtime that doesn't listen is asked again.
const RETRY: Duration = Duration::from_millis(50);

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
    /// A process runs it.
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
    pub fn state(&self) -> Result<State, CommandError> {
        if !self.exists() {
            return Ok(State::Remote);
        }
        Ok(match self.process()? {
            Some(_) => State::Running,
            None => State::Stopped,
        })
    }

    /// The process that runs it, if one does.
    pub fn process(&self) -> Result<Option<u32>, CommandError> {
        folder_lock::process_of(self.paths.folder()).map_err(|why| {
            CommandError::failed(format!("cannot tell whether the cluster `{}` runs", self.name)).because(why)
        })
    }

    /// Stops it and returns when it has; `false` if it didn't run.
    pub async fn stop(&self) -> Result<bool, CommandError> {
        let Some(pid) = self.process()? else {
            return Ok(false);
        };
        match timeout(REACH_TIME, self.ask_to_stop()).await {
            Ok(asked) => asked?,
            Err(_) => {
                let socket = self.paths.socket();
                let why = format!("its process {pid} does not answer on `{}`", socket.display());
                let help = format!("end it in order with `kill {pid}`, or at once with `kill -9 {pid}`");
                return Err(self.cannot_stop(why).help(help));
            }
        }
        match timeout(STOP_TIME, folder_lock::wait_until_free(self.paths.folder())).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(why)) => Err(self.cannot_stop(why.to_string())),
            Err(_) => Err(self
                .cannot_stop(format!("it still runs after {} seconds", STOP_TIME.as_secs()))
                .help(format!("end it with `kill -9 {pid}`"))),
        }
    }

    /// Asks until the runtime has heard it, or has ended by itself.
    async fn ask_to_stop(&self) -> Result<(), CommandError> {
        loop {
            match self.client().shutdown().await {
                // It may end before it has answered.
                Ok(()) | Err(ClientError::Broken(_)) => return Ok(()),
                Err(ClientError::Unreachable { .. }) if self.process()?.is_none() => return Ok(()),
                // It has just begun to run, or has more callers than it can take right now.
                Err(ClientError::Unreachable { .. }) => sleep(RETRY).await,
                Err(error) => return Err(self.cannot_stop(error.to_string())),
            }
        }
    }

    fn cannot_stop(&self, why: String) -> CommandError {
        CommandError::failed(format!("cannot stop the cluster `{}`", self.name)).because(why)
    }

    /// Deletes everything that it has kept. It must not run.
    pub fn delete(&self) -> Result<(), CommandError> {
        fs::remove_dir_all(self.paths.folder()).map_err(|why| {
            CommandError::failed(format!("cannot delete `{}`", self.paths.folder().display())).because(why)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;
    use crate::paths::Paths;

    /// A cluster that this process says it runs, for as long as the file is open.
    fn running(home: &tempfile::TempDir) -> (LocalCluster, File) {
        let cluster = LocalCluster {
            name: "local".to_owned(),
            paths: Paths::below(home.path().to_owned()).cluster("local"),
        };
        fs::create_dir_all(cluster.paths.folder()).unwrap();
        let path = cluster.paths.folder().join("lock");
        fs::write(&path, std::process::id().to_string()).unwrap();
        let lock = File::open(path).unwrap();
        lock.lock().unwrap();
        (cluster, lock)
    }

    #[tokio::test]
    async fn a_runtime_that_does_not_listen_yet_is_asked_again() {
        let home = tempfile::tempdir().unwrap();
        let (cluster, lock) = running(&home);
        assert_eq!(cluster.state().unwrap(), State::Running);
        let mut stop = Box::pin(cluster.stop());
        assert!(futures::poll!(&mut stop).is_pending());
        let listener = UnixListener::bind(cluster.paths.socket()).unwrap();
        let runtime = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"POST /shutdown "));
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            drop(lock);
        };
        let (stopped, ()) = tokio::join!(stop, runtime);
        assert!(stopped.unwrap());
        assert_eq!(cluster.state().unwrap(), State::Stopped);
    }

    #[tokio::test]
    async fn a_runtime_that_ends_unasked_has_stopped_too() {
        let home = tempfile::tempdir().unwrap();
        let (cluster, lock) = running(&home);
        let mut stop = Box::pin(cluster.stop());
        assert!(futures::poll!(&mut stop).is_pending());
        drop(lock);
        assert!(stop.await.unwrap());
        assert!(!cluster.stop().await.unwrap());
    }
}
