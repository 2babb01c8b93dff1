//! What accounts may do.

mod default;
mod grant;
mod list;
mod log;
mod reason;
mod request;
mod revoke;
mod users;
mod why;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// Grant, revoke and explain permissions
#[derive(Debug, Subcommand)]
pub enum PermissionCommand {
    Grant(grant::GrantArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
    Why(why::WhyArgs),
    Log(log::LogArgs),
    #[command(subcommand)]
    Request(request::RequestCommand),
    #[command(subcommand)]
    Default(default::DefaultCommand),
}

/// Runs one of them.
pub fn run(app: &App, command: PermissionCommand) -> Result<(), CommandError> {
    match command {
        PermissionCommand::Grant(args) => grant::run(app, args),
        PermissionCommand::List(args) => list::run(app, args),
        PermissionCommand::Revoke(args) => revoke::run(app, args),
        PermissionCommand::Why(args) => why::run(app, args),
        PermissionCommand::Log(args) => log::run(app, args),
        PermissionCommand::Request(command) => request::run(app, command),
        PermissionCommand::Default(command) => default::run(app, command),
    }
}
