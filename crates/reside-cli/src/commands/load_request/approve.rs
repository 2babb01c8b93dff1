//! `reside load-request approve`

use clap::Args;

use crate::cli::App;
use crate::cluster::period::PeriodArgs;
use crate::cluster::selector::Choice;
use crate::cluster::session::Session;
use crate::commands::replica;
use crate::error::CommandError;

/// Approve a load request
///
/// Creates or updates the replica with its permissions and its workload, and waits until it runs or has completed.
/// With `--for` or `--until`, the permissions that it asks for end then. Undo with `reside replica rollback` or `reside replica unload`.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// Number of the load request
    id: u32,

    /// Choose the replica behind a requirement (can be repeated)
    #[arg(long, value_name = "KEY=REPLICA")]
    with: Vec<Choice>,

    /// Return as soon as it is approved
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    period: PeriodArgs,
}

/// Runs the command.
pub fn run(app: &App, args: ApproveArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        replica::approve(app, &session, args.id, &args.with, &args.period, args.no_wait).await
    })
}
