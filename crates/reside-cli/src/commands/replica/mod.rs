//! Replicas of the cluster.

mod disable;
mod enable;
mod history;
mod info;
mod list;
mod load;
mod logs;
mod rollback;
mod unload;
mod update;

use clap::Subcommand;

pub(super) use info::class_text;
pub(super) use load::approve;

use crate::cli::App;
use crate::error::CommandError;

/// Load, watch and manage replicas
#[derive(Debug, Subcommand)]
pub enum ReplicaCommand {
    List(list::ListArgs),
    Info(info::InfoArgs),
    History(history::HistoryArgs),
    Load(load::LoadArgs),
    Update(update::UpdateArgs),
    Logs(logs::LogsArgs),
    Enable(enable::EnableArgs),
    Disable(disable::DisableArgs),
    Rollback(rollback::RollbackArgs),
    Unload(unload::UnloadArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: ReplicaCommand) -> Result<(), CommandError> {
    match command {
        ReplicaCommand::List(args) => list::run(app, args),
        ReplicaCommand::Info(args) => info::run(app, args),
        ReplicaCommand::History(args) => history::run(app, args),
        ReplicaCommand::Load(args) => load::run(app, args),
        ReplicaCommand::Update(args) => update::run(app, args),
        ReplicaCommand::Logs(args) => logs::run(app, args),
        ReplicaCommand::Enable(args) => enable::run(app, args),
        ReplicaCommand::Disable(args) => disable::run(app, args),
        ReplicaCommand::Rollback(args) => rollback::run(app, args),
        ReplicaCommand::Unload(args) => unload::run(app, args),
    }
}
