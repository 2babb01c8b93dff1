//! The process of a replica that is being worked on. It writes to our terminal, and ends with us, however we end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to end before it is killed; as long as in the cluster.
const GRACE: Duration = Duration::from_secs(30);
/// Taken over from our own environment, for whoever wants to see more.
const TAKEN_OVER: [&str; 3] = ["RESIDE_LOG", "RESIDE_LOG_FORMAT", "RUST_BACKTRACE"];

/// What to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Environment as the cluster would give it.
    pub env: BTreeMap<String, String>,
    /// Its working folder.
    pub folder: PathBuf,
}

/// A running process. Dropping it kills it.
pub struct Process(Child);

impl Launch {
    /// Starts a program. To be called on the main thread: the kernel ties the process's life to that of the thread.
    pub fn start(&self, program: &std::path::Path) -> io::Result<Process> {
        fs::create_dir_all(&self.folder)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("supervised")
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("TMPDIR", &self.folder)
            .envs(&self.env)
            .current_dir(&self.folder)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        for name in TAKEN_OVER {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.spawn().map(Process)
    }
}

impl Process {
    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// Asks it to end, and kills it if it doesn't in time.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        if timeout(GRACE, self.0.wait()).await.is_err() {
            self.signal(Signal::KILL);
            // It can't refuse.
            let _ = self.0.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // One that has just ended needs no signal; before it leads a group it is signalled itself.
            if kill_process_group(pid, signal).is_err() {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }
}
