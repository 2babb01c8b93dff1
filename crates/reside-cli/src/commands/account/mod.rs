//! Own accounts.

pub mod create;
mod list;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// Make and list your accounts
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: AccountCommand) -> Result<(), CommandError> {
    match command {
        AccountCommand::Create(args) => create::run(app, args),
        AccountCommand::List(args) => list::run(app, args),
    }
}
