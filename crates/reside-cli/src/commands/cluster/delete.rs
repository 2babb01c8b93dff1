//! `reside cluster delete`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::LocalCluster;
use crate::cluster::target;
use crate::config::Config;
use crate::error::CommandError;
use crate::names::Name;
use crate::ui::{Drawing, STRONG, View};

/// Delete a cluster with everything in it
///
/// Stops it first if it runs on this machine. A cluster elsewhere is only forgotten. Accounts and images stay.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// Name of the cluster
    name: Name,

    /// Delete without asking
    #[arg(long, short)]
    yes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted<'a> {
    name: &'a str,
    deleted: bool,
}

impl View for Deleted<'_> {
    fn draw(&self) -> Drawing {
        let what = if self.deleted { "Deleted" } else { "Kept" };
        Drawing::Text(format!("{what} the cluster {STRONG}{}{STRONG:#}", self.name))
    }
}

/// Runs the command.
pub fn run(app: &App, args: DeleteArgs) -> Result<(), CommandError> {
    let name = args.name.as_str();
    let local = LocalCluster::new(app, name);
    let config = Config::load(&app.paths)?;
    if !local.exists() && config.cluster(name).is_none() {
        return Err(target::unknown_cluster(&config, name));
    }
    let question = match local.exists() {
        true => format!("Delete the cluster `{name}` and everything in it?"),
        false => format!("Forget the cluster `{name}`?"),
    };
    let deleted = app.ui.confirm(&question, args.yes)?;
    if deleted {
        if local.exists() {
            app.block_on(async {
                let _progress = app.ui.progress(format!("Stopping the cluster {name}"));
                local.stop().await
            })?;
            local.delete()?;
        }
        Config::edit(&app.paths, |config| {
            config.remove_cluster(name);
            Ok(())
        })?;
    }
    app.ui.show(&Deleted { name, deleted })
}
