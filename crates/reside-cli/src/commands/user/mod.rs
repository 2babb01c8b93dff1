//! Users of the cluster.

mod create;
mod info;
mod list;
mod me;
mod register;
pub(in crate::commands) mod view;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// Register, list, show and create users
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Register(register::RegisterArgs),
    Me(me::MeArgs),
    List(list::ListArgs),
    Info(info::InfoArgs),
    Create(create::CreateArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: UserCommand) -> Result<(), CommandError> {
    match command {
        UserCommand::Register(args) => register::run(app, args),
        UserCommand::Me(args) => me::run(app, args),
        UserCommand::List(args) => list::run(app, args),
        UserCommand::Info(args) => info::run(app, args),
        UserCommand::Create(args) => create::run(app, args),
    }
}
