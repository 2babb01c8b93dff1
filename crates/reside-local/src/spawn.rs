//! Starting processes: from one thread that lives as long as the runtime, because the kernel ties a child's life to
//! the thread that made it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// A program unpacked from an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; the first is an absolute path.
    pub argv: Vec<String>,
    /// Environment that the image sets.
    pub env: BTreeMap<String, String>,
}

/// Where programs come from.
pub trait Images: Send + Sync + 'static {
    /// Unpacks an image, `identity@digest`, unless it has been before. May block.
    fn unpack(&self, image: &str) -> Result<Program, String>;
}

/// What to start.
pub(crate) struct Start {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub folder: PathBuf,
}

type Request = (Start, oneshot::Sender<io::Result<Child>>);

/// The thread that starts processes, and the record of those that run.
pub(crate) struct Spawner {
    requests: Sender<Request>,
    records: PathBuf,
}

impl Spawner {
    /// Starts the thread. `trampoline` is the command that calls [`crate::trampoline::exec`]. Processes that a killed
    /// runtime has left are killed first.
    pub fn start(trampoline: Vec<OsString>, records: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&records)?;
        kill_leftovers(&records)?;
        let (requests, received) = channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                for (start, answer) in received {
                    let _ = answer.send(spawn(&trampoline, &start));
                }
            })?;
        Ok(Self { requests, records })
    }

    /// Starts a process.
    pub async fn spawn(&self, name: &str, start: Start) -> io::Result<Child> {
        let (answer, spawned) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.requests.send((start, answer)).map_err(|_| gone())?;
        let child = spawned.await.map_err(|_| gone())??;
        if let Some(started) = child.id().and_then(|pid| Some((pid, start_time(pid)?))) {
            fs::write(self.records.join(name), format!("{} {}", started.0, started.1))?;
        }
        Ok(child)
    }

    /// Forgets a process that has ended.
    pub fn ended(&self, name: &str) {
        let _ = fs::remove_file(self.records.join(name));
    }
}

fn spawn(trampoline: &[OsString], start: &Start) -> io::Result<Child> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&start.folder)?;
    let (program, arguments) = trampoline
        .split_first()
        .ok_or_else(|| io::Error::other("no trampoline"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(&start.argv)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &start.folder)
        .env("TMPDIR", &start.folder)
        .envs(&start.env)
        .current_dir(&start.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn()
}

/// The process group that a process leads; only known until the process has ended.
pub(crate) fn group_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.cast_signed())
}

/// Sends a signal to the process and everything it has started.
pub(crate) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = group_of(child) {
        // A process that has just ended needs no signal. Before it has become a group leader it is signalled itself.
        if kill_process_group(pid, signal).is_err() {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Kills what is left of a group whose leader has ended.
pub(crate) fn kill_rest(group: Pid) {
    // Mostly nothing is.
    let _ = kill_process_group(group, Signal::KILL);
}

/// Kills processes of a former runtime that still run. A number alone could mean another process by now.
fn kill_leftovers(records: &Path) -> io::Result<()> {
    for entry in fs::read_dir(records)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut numbers = text.split(' ').filter_map(|number| number.parse::<u64>().ok());
        if let (Some(pid), Some(started)) = (numbers.next(), numbers.next())
            && let Ok(pid) = u32::try_from(pid)
            && start_time(pid) == Some(started)
            && let Some(group) = Pid::from_raw(pid.cast_signed())
        {
            tracing::warn!(pid, "killing a process that a former runtime has left");
            let _ = kill_process_group(group, Signal::KILL);
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

/// When a process was started, in clock ticks since boot.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the 22nd field is the 20th after it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
