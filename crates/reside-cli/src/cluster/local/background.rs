//! A cluster in the background: a process of its own session runs it, and tells the one that was typed how it goes,
//! over a pipe, until the cluster is ready. The pipe's end is the process's end, so nobody waits in vain.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use reside_image::Identity;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::foreground::UpOptions;
use super::state::LocalCluster;
use super::updates;
use crate::cli::App;
use crate::cluster::signals;
use crate::error::{CommandError, Kind};
use crate::files;
use crate::ui::{GOOD, Progress, STRONG, Ui};

/// Who is told how a start goes.
pub enum Report {
    /// The person in front of this process.
    Foreground {
        /// Where they look.
        ui: Ui,
        /// What is being done.
        progress: Option<Progress>,
    },
    /// The process that was typed, at the other end of stdout.
    Background,
}

/// A line on the pipe.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Event {
    Progress(String),
    Ready {
        endpoint: String,
        updates: Vec<Identity>,
    },
    Failed {
        what: String,
        why: Option<String>,
        help: Option<String>,
        is_usage: bool,
    },
}

impl Report {
    /// Tells the person in front of this process.
    pub fn foreground(ui: Ui, name: &str) -> Self {
        Self::Foreground {
            ui,
            progress: Some(ui.progress(format!("Starting the cluster {name}"))),
        }
    }

    /// Whether a person looks at this process.
    pub fn is_foreground(&self) -> bool {
        matches!(self, Self::Foreground { .. })
    }

    /// Says what is being done.
    pub fn progress(&self, text: &str) {
        match self {
            Self::Foreground { progress, .. } => drop(progress.as_ref().map(|progress| progress.now(text))),
            Self::Background => send(&Event::Progress(text.to_owned())),
        }
    }

    /// The cluster is ready.
    pub fn ready(&mut self, name: &str, endpoint: &str, updates: Vec<Identity>) {
        match self {
            Self::Foreground { ui, progress } => {
                drop(progress.take());
                say_ready(*ui, name, endpoint, &updates);
                ui.hint("Ctrl-C stops it");
            }
            Self::Background => send(&Event::Ready {
                endpoint: endpoint.to_owned(),
                updates,
            }),
        }
    }

    /// The cluster is being stopped.
    pub fn stopping(&mut self) {
        if let Self::Foreground { ui, progress } = self {
            drop(progress.take());
            ui.say("Stopping");
        }
    }

    /// The start has failed; returns the error unless it was sent on.
    pub fn failed(self, error: CommandError) -> CommandError {
        if let Self::Background = self {
            send(&Event::Failed {
                what: error.to_string(),
                why: error.why(),
                help: error.advice(),
                is_usage: error.kind() == Kind::Usage,
            });
        }
        error
    }
}

fn say_ready(ui: Ui, name: &str, endpoint: &str, updates: &[Identity]) {
    ui.say(format_args!(
        "Cluster {STRONG}{name}{STRONG:#} is {GOOD}ready{GOOD:#} at {endpoint}"
    ));
    for identity in updates {
        ui.hint(format_args!(
            "this program has another version of a system replica; `{}` updates it",
            updates::command(identity)
        ));
    }
}

/// Once the other process has gone, nobody needs to be told.
fn send(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

/// What the process in the background does first: leaves the terminal behind.
pub fn leave_terminal() -> Result<(), CommandError> {
    rustix::process::setsid()
        .map(drop)
        .map_err(|why| CommandError::failed("cannot leave the terminal").because(why))
}

/// Starts a cluster in the background and returns when it is ready.
pub async fn start(app: &App, options: &UpOptions) -> Result<(), CommandError> {
    let cluster = LocalCluster::new(app, &options.name);
    let stop = signals::stop_requested()?;
    let progress = app.ui.progress(format!("Starting the cluster {}", options.name));
    let mut child = spawn(app, options, &cluster)?;
    let ready = tokio::select! {
        ready = listen(&mut child, &progress) => ready,
        () = stop => {
            end(&mut child).await;
            return Err(CommandError::failed(format!("the cluster `{}` was not started", options.name)));
        }
    };
    drop(progress);
    match ready {
        Some(Event::Ready { endpoint, updates }) => {
            say_ready(app.ui, &options.name, &endpoint, &updates);
            Ok(())
        }
        Some(Event::Failed {
            what,
            why,
            help,
            is_usage,
        }) => {
            let error = if is_usage {
                CommandError::usage(what)
            } else {
                CommandError::failed(what)
            };
            let error = match why {
                Some(why) => error.because(why),
                None => error,
            };
            Err(match help {
                Some(help) => error.help(help),
                None => error,
            })
        }
        Some(Event::Progress(_)) | None => Err(CommandError::failed(format!(
            "the process of the cluster `{}` has ended",
            options.name
        ))
        .help(format!(
            "its last words are in `{}`",
            cluster.paths().log().display()
        ))),
    }
}

fn spawn(app: &App, options: &UpOptions, cluster: &LocalCluster) -> Result<Child, CommandError> {
    let failed = |why: io::Error| CommandError::failed("cannot start a process for the cluster").because(why);
    files::create_folder(cluster.paths().folder())?;
    let mut log = OpenOptions::new();
    let log = log
        .create(true)
        .append(true)
        .mode(0o600)
        .open(cluster.paths().log())
        .map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["up", &options.name, "--background"]);
    if let Some(port) = options.port {
        command.args(["--port", &port.to_string()]);
    }
    if let Some(account) = &app.globals.account {
        command.args(["--as", account.as_str()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().map_err(failed)
}

/// Follows the start to its end; `None` if the process ended without a word.
async fn listen(child: &mut Child, progress: &Progress) -> Option<Event> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Event::Progress(text)) => progress.now(text),
            Ok(event) => return Some(event),
            Err(_) => {}
        }
    }
    None
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // It may just have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    let _ = child.wait().await;
}
