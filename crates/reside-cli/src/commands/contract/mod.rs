//! Contracts that the cluster knows.

mod diff;
mod info;
mod list;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// List and show the contracts that the cluster knows, and compare versions of one
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    List(list::ListArgs),
    Info(info::InfoArgs),
    Diff(diff::DiffArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: ContractCommand) -> Result<(), CommandError> {
    match command {
        ContractCommand::List(args) => list::run(app, args),
        ContractCommand::Info(args) => info::run(app, args),
        ContractCommand::Diff(args) => diff::run(app, args),
    }
}
