//! Processes of a scenario: this program itself in another role, watched from outside through `/proc`.
//!
//! A role prints lines, one JSON value each; a line on its standard input releases its next step, the end of its input
//! ends it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Error, stats::round};

/// First argument of a child.
pub const CHILD: &str = "child";
/// How long a step of a child may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(400);
/// How long a child may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Clock ticks per second in `/proc/*/stat`: part of Linux's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// This program in a role, as a process of its own. It is killed if this is dropped before it was stopped.
pub struct Child {
    role: String,
    process: std::process::Child,
    input: Option<ChildStdin>,
    lines: Receiver<(Duration, String)>,
}

impl Child {
    /// Starts a role. Its log goes to a file in the directory.
    pub fn start(role: &str, argument: &impl Serialize, directory: &Path) -> Result<Self, Error> {
        Self::start_with(role, argument, directory, &[])
    }

    /// Starts a role with variables in its environment.
    pub fn start_with(
        role: &str,
        argument: &impl Serialize,
        directory: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join(format!("{role}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([CHILD, role, &serde_json::to_string(argument)?])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let started = Instant::now();
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("the child has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((started.elapsed(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            role: role.to_owned(),
            process,
            input,
            lines,
        })
    }

    /// Returns the next line and how long after the start of the process it came.
    pub fn line(&self) -> Result<(Duration, String), Error> {
        self.lines
            .recv_timeout(STEP_TIMEOUT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("`{}` took too long", self.role).into(),
                RecvTimeoutError::Disconnected => {
                    format!("`{}` has ended; its log says why", self.role).into()
                }
            })
    }

    /// Returns the next line, read.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_str(&self.line()?.1)?)
    }

    /// Releases the next step.
    pub fn go(&mut self) -> Result<(), Error> {
        let input = self.input.as_mut().ok_or("the child was stopped")?;
        Ok(input.write_all(b"go\n")?)
    }

    /// CPU seconds of the process so far: user and system, all threads.
    pub fn cpu(&self) -> Result<f64, Error> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after_name.split_whitespace().skip(11);
        let mut ticks = || -> Option<f64> { fields.next()?.parse().ok() };
        let both = ticks().zip(ticks()).ok_or("/proc/*/stat is not as expected")?;
        Ok((both.0 + both.1) / TICKS_PER_SECOND)
    }

    /// Resident memory in MiB: now, and at its highest.
    pub fn memory(&self) -> Result<Memory, Error> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(round(kib / 1024.0, 1))
        };
        let both = field("VmRSS:").zip(field("VmHWM:"));
        let (rss, peak) = both.ok_or("/proc/*/status is not as expected")?;
        Ok(Memory { rss, peak })
    }

    /// Ends the process: closes its input, and kills it if that is not enough.
    pub fn stop(mut self) -> Result<(), Error> {
        self.input = None;
        let end = Instant::now() + STOP_TIMEOUT;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err(format!("`{}` did not stop", self.role).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; either is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// At the moment.
    pub rss: f64,
    /// At its highest.
    pub peak: f64,
}

/// CPU seconds of several processes, to be subtracted from a later reading.
pub struct CpuClock<'a>(Vec<(&'a Child, f64)>);

impl<'a> CpuClock<'a> {
    /// Starts to count.
    pub fn start<const N: usize>(children: [&'a Child; N]) -> Result<Self, Error> {
        let read = |child: &'a Child| Ok((child, child.cpu()?));
        Ok(Self(
            children.into_iter().map(read).collect::<Result<_, Error>>()?,
        ))
    }

    /// CPU seconds since the start, of each.
    pub fn elapsed<const N: usize>(&self) -> Result<[f64; N], Error> {
        let elapsed = self
            .0
            .iter()
            .map(|(child, before)| Ok(round(child.cpu()? - before, 2)));
        let elapsed = elapsed.collect::<Result<Vec<_>, Error>>()?;
        elapsed
            .try_into()
            .map_err(|_| "another number of processes".into())
    }
}

/// The role's side: what it is told to do next.
pub struct Steps(UnboundedReceiver<()>);

impl Steps {
    /// Listens to the standard input.
    pub fn listen() -> Self {
        let (sender, receiver) = unbounded_channel();
        std::thread::spawn(move || {
            for line in io::stdin().lines() {
                if line.is_err() || sender.send(()).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for the next step; `false` at the end.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }

    /// Waits until the process shall end.
    pub async fn finished(&mut self) {
        while self.next().await {}
    }
}

/// Tells the parent something.
pub fn tell(value: &impl Serialize) -> Result<(), Error> {
    say(&serde_json::to_string(value)?)
}

/// Writes a line to the standard output.
pub fn say(line: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// How disturbed the machine was: shares of all CPU time.
pub struct Noise(Option<[f64; 4]>);

impl Noise {
    /// Starts to watch.
    pub fn start() -> Self {
        Self(Self::read())
    }

    /// All, idle, niced and stolen time.
    fn read() -> Option<[f64; 4]> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let fields: Vec<f64> = stat
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        let [_, nice, _, idle, iowait, .., steal] = fields[..] else {
            return None;
        };
        Some([fields.iter().sum(), idle + iowait, nice, steal])
    }

    /// Percentages since the start: taken by the hypervisor, used by processes of low priority, not used at all.
    pub fn shares(&self) -> Option<Value> {
        let (before, after) = (self.0?, Self::read()?);
        let share = |index: usize| {
            round(
                (after[index] - before[index]) / (after[0] - before[0]).max(1.0) * 100.0,
                1,
            )
        };
        Some(json!({"steal_pct": share(3), "niced_pct": share(2), "idle_pct": share(1)}))
    }
}
