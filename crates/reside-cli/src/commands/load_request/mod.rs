//! Requests to load replicas.

mod approve;
mod list;
mod reject;
pub mod show;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// List and decide requests to load replicas
#[derive(Debug, Subcommand)]
pub enum LoadRequestCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Approve(approve::ApproveArgs),
    Reject(reject::RejectArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: LoadRequestCommand) -> Result<(), CommandError> {
    match command {
        LoadRequestCommand::List(args) => list::run(app, args),
        LoadRequestCommand::Show(args) => show::run(app, args),
        LoadRequestCommand::Approve(args) => approve::run(app, args),
        LoadRequestCommand::Reject(args) => reject::run(app, args),
    }
}
