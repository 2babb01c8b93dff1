//! `reside replica logs`

use clap::Args;
use futures::StreamExt;
use reside_local::LogLine;

use crate::cli::App;
use crate::cluster::local::LocalCluster;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{FAINT, Output};

/// Print the log of a replica
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,

    /// Go on with what it prints from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// Most lines to begin with
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 200)]
    lines: usize,

    /// Begin each line with the time at which it was printed
    #[arg(long)]
    timestamps: bool,

    /// Version instead of the current one
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
}

/// Runs the command.
pub fn run(app: &App, args: LogsArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        let version = args.version.unwrap_or(record.current_version);
        let cluster =
            LocalCluster::existing(app, session.target().cluster.name.as_str()).map_err(|error| {
                error.help("the logs of a cluster in Kubernetes are read with `kubectl logs`")
            })?;
        let workload = format!("{}-{version}", record.name);
        let lines = cluster.client().logs(&workload, args.lines, args.follow).await;
        let mut lines = lines.map_err(|why| {
            CommandError::failed(format!("cannot read the log of `{}`", record.name)).because(why)
        })?;
        while let Some(line) = lines.next().await {
            print(app, &line, args.timestamps)?;
        }
        Ok(())
    })
}

fn print(app: &App, line: &LogLine, timestamps: bool) -> Result<(), CommandError> {
    match app.globals.output {
        Output::Table if timestamps => app
            .ui
            .print(&format!("{FAINT}{}{FAINT:#} {}", line.time, line.text)),
        Output::Table => app.ui.print(&format!("{}\n", line.text)),
        Output::Json => app.ui.json_line(line),
    }
}
