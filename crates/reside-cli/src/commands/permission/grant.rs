//! `reside permission grant`

use clap::Args;

use crate::cli::App;
use crate::cluster::grants::{self, Change, PermissionArgs};
use crate::error::CommandError;

/// Grant a permission to an account
///
/// Undo with `reside permission revoke` and the same arguments.
#[derive(Args, Debug)]
pub struct GrantArgs {
    #[command(flatten)]
    permission: PermissionArgs,
}

/// Runs the command.
pub fn run(app: &App, args: GrantArgs) -> Result<(), CommandError> {
    grants::change(app, args.permission, Change::Grant)
}
