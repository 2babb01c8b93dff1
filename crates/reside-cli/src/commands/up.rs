//! `reside up`

use clap::Args;

use crate::cli::App;
use crate::cluster::local::background::{self, Report};
use crate::cluster::local::foreground::{self, UpOptions};
use crate::error::CommandError;
use crate::names::Name;

/// Start a cluster on this machine
///
/// The first start makes the cluster, with your default account as its administrator; later ones find everything as it
/// was. In the foreground, changes are shown and Ctrl-C stops it. It is an error if it is running already.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Name of the cluster
    #[arg(default_value = "local")]
    name: Name,

    /// Return when it is ready, and let it run in the background
    #[arg(long, short)]
    detach: bool,

    /// Port of its gateway; only on the first start [default: 4210, or a free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Report to the process that started this one
    #[arg(long, hide = true, conflicts_with = "detach")]
    background: bool,
}

/// Runs the command.
pub fn run(app: &App, args: UpArgs) -> Result<(), CommandError> {
    let options = UpOptions {
        name: args.name.to_string(),
        port: args.port,
    };
    if args.detach {
        return app.block_on(background::start(app, &options));
    }
    let mut report = if args.background {
        background::leave_terminal()?;
        Report::Background
    } else {
        Report::foreground(app.ui, &options.name)
    };
    let result = app.block_on(foreground::run(app, &options, &mut report));
    result.map_err(|error| report.failed(error))
}
