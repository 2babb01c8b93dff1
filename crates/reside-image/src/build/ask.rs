//! Asks a program for its manifest: runs it with the argument `manifest`, for a bounded time and a bounded output.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::manifest::MANIFEST_BYTES_MAX;

const POLL: Duration = Duration::from_millis(2);
const MESSAGE_BYTES_MAX: usize = 4096;
/// Room for a manifest that is indented.
const OUTPUT_BYTES_MAX: usize = 4 * MANIFEST_BYTES_MAX;

/// Why a program doesn't say what it is.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It can't be started.
    #[error("it cannot be started: {0}")]
    Start(#[source] io::Error),
    /// It takes too long.
    #[error("it did not end within {0:?}")]
    Timeout(Duration),
    /// It prints too much.
    #[error("it prints more than {OUTPUT_BYTES_MAX} bytes")]
    TooLong,
    /// It ends with an error.
    #[error("{status}{}", said(.message))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it printed to standard error.
        message: String,
    },
    /// Its output can't be read.
    #[error("its output cannot be read: {0}")]
    Read(#[source] io::Error),
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    fn missed(self) -> AskError {
        AskError::Timeout(self.timeout)
    }
}

/// Returns what the program prints.
pub(super) fn manifest(program: &Path, timeout: Duration) -> Result<Vec<u8>, AskError> {
    let mut child = Command::new(program)
        .arg("manifest")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(AskError::Start)?;
    let deadline = Deadline {
        at: Instant::now() + timeout,
        timeout,
    };
    let output = read_in_background(
        child.stdout.take().expect("standard output is piped"),
        OUTPUT_BYTES_MAX,
    );
    let message = read_in_background(
        child.stderr.take().expect("standard error is piped"),
        MESSAGE_BYTES_MAX,
    );
    let answer = answer(&mut child, &output, deadline);
    if answer.is_err() {
        kill(&mut child);
    }
    let (status, output) = answer?;
    if status.success() {
        return Ok(output);
    }
    let message = receive(&message, deadline).unwrap_or_default();
    Err(AskError::Failed {
        status,
        message: String::from_utf8_lossy(&message).trim().to_owned(),
    })
}

/// Waits for the end of the output, then for the end of the program.
fn answer(
    child: &mut Child,
    output: &Receiver<io::Result<Vec<u8>>>,
    deadline: Deadline,
) -> Result<(ExitStatus, Vec<u8>), AskError> {
    let output = receive(output, deadline)?;
    if output.len() > OUTPUT_BYTES_MAX {
        return Err(AskError::TooLong);
    }
    loop {
        match child.try_wait().map_err(AskError::Read)? {
            Some(status) => return Ok((status, output)),
            None if deadline.left().is_zero() => return Err(deadline.missed()),
            None => thread::sleep(POLL), // it has closed its output: it is about to end
        }
    }
}

fn receive(from: &Receiver<io::Result<Vec<u8>>>, deadline: Deadline) -> Result<Vec<u8>, AskError> {
    match from.recv_timeout(deadline.left()) {
        Ok(read) => read.map_err(AskError::Read),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(deadline.missed()),
    }
}

/// Reads at most one byte more than the limit.
fn read_in_background(from: impl Read + Send + 'static, limit: usize) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = from.take(limit as u64 + 1).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more after the deadline.
        drop(sender.send(read));
    });
    receiver
}

/// Ends the program and what it started.
fn kill(child: &mut Child) {
    if let Err(error) = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(child),
        rustix::process::Signal::KILL,
    ) {
        tracing::debug!(%error, "the program is gone already");
    }
    drop(child.wait());
}
