//! `reside permission grant`

use clap::Args;

use crate::cli::App;
use crate::cluster::grants::{self, Change, PermissionArgs};
use crate::cluster::period::PeriodArgs;
use crate::error::CommandError;

/// Grant a permission to an account
///
/// With `--for` or `--until` it ends by itself, at that moment and everywhere. Granting again what is granted sets its params
/// and its end anew. Undo with `reside permission revoke` and the same arguments.
#[derive(Args, Debug)]
pub struct GrantArgs {
    #[command(flatten)]
    permission: PermissionArgs,

    #[command(flatten)]
    period: PeriodArgs,
}

/// Runs the command.
pub fn run(app: &App, args: GrantArgs) -> Result<(), CommandError> {
    let change = Change::Grant {
        expires_at: args.period.end()?,
    };
    grants::change(app, args.permission, change)
}
