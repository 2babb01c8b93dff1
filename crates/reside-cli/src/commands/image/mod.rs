//! The local image store, and registries.

mod export_system;
mod inspect;
mod list;
mod moved;
mod prune;
mod pull;
mod push;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// List, inspect, push, pull and clean up images
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
    Push(push::PushArgs),
    Pull(pull::PullArgs),
    Prune(prune::PruneArgs),
    ExportSystem(export_system::ExportSystemArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: ImageCommand) -> Result<(), CommandError> {
    match command {
        ImageCommand::List(args) => list::run(app, args),
        ImageCommand::Inspect(args) => inspect::run(app, args),
        ImageCommand::Push(args) => push::run(app, args),
        ImageCommand::Pull(args) => pull::run(app, args),
        ImageCommand::Prune(args) => prune::run(app, args),
        ImageCommand::ExportSystem(args) => export_system::run(app, args),
    }
}

/// What an image holds. Others than ours hold programs of the system, or anything.
fn kind_text(kind: Option<reside_image::Kind>) -> &'static str {
    match kind {
        Some(reside_image::Kind::Contract) => "contract",
        Some(reside_image::Kind::Replica) => "replica",
        None => "other",
    }
}
