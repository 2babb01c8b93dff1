//! `reside permission revoke`

use clap::Args;

use crate::cli::App;
use crate::cluster::grants::{self, Change, PermissionArgs};
use crate::error::CommandError;

/// Revoke a permission that was granted by hand or asked for at run time
///
/// It counts from the moment it is asked for. What a replica was given when it was loaded leaves with the version.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    #[command(flatten)]
    permission: PermissionArgs,
}

/// Runs the command.
pub fn run(app: &App, args: RevokeArgs) -> Result<(), CommandError> {
    grants::change(app, args.permission, Change::Revoke)
}
