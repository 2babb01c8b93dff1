//! Accounts on a sync server.

mod create;

use clap::Subcommand;

use super::session::SessionArgs;
use crate::cli::App;
use crate::error::CommandError;

/// Make accounts
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    Create(create::CreateArgs),
}

/// Runs one of them.
pub fn run(app: &App, session: &SessionArgs, command: AccountCommand) -> Result<(), CommandError> {
    match command {
        AccountCommand::Create(args) => create::run(app, session, args),
    }
}
