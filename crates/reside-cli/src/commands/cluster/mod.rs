//! Known clusters.

mod bootstrap_defaults;
mod delete;
mod info;
mod list;

use clap::Subcommand;

use crate::cli::App;
use crate::error::CommandError;

/// List, show, complete and delete clusters
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    List(list::ListArgs),
    Info(info::InfoArgs),
    Delete(delete::DeleteArgs),
    BootstrapDefaults(bootstrap_defaults::BootstrapDefaultsArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: ClusterCommand) -> Result<(), CommandError> {
    match command {
        ClusterCommand::List(args) => list::run(app, args),
        ClusterCommand::Info(args) => info::run(app, args),
        ClusterCommand::Delete(args) => delete::run(app, args),
        ClusterCommand::BootstrapDefaults(args) => bootstrap_defaults::run(app, args),
    }
}
