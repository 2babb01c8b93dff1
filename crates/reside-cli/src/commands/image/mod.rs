//! The local image store.

mod inspect;
mod list;
mod prune;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// List, inspect and clean up the images in the local store
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
    Prune(prune::PruneArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: ImageCommand) -> Result<(), CommandError> {
    match command {
        ImageCommand::List(args) => list::run(app, args),
        ImageCommand::Inspect(args) => inspect::run(app, args),
        ImageCommand::Prune(args) => prune::run(app, args),
    }
}

fn open_store(app: &App) -> Result<reside_image::Store, CommandError> {
    let path = app.paths.images();
    crate::files::create_folder(&path)?;
    reside_image::Store::open(&path).map_err(|why| {
        CommandError::failed(format!("cannot use the image store `{}`", path.display())).because(why)
    })
}

/// What an image holds. Others than ours hold programs of the system, or anything.
fn kind_text(kind: Option<reside_image::Kind>) -> &'static str {
    match kind {
        Some(reside_image::Kind::Contract) => "contract",
        Some(reside_image::Kind::Replica) => "replica",
        None => "other",
    }
}
