//! What accounts may do.

mod grant;
mod list;
mod revoke;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// Grant, list and revoke permissions
#[derive(Debug, Subcommand)]
pub enum PermissionCommand {
    Grant(grant::GrantArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: PermissionCommand) -> Result<(), CommandError> {
    match command {
        PermissionCommand::Grant(args) => grant::run(app, args),
        PermissionCommand::List(args) => list::run(app, args),
        PermissionCommand::Revoke(args) => revoke::run(app, args),
    }
}
