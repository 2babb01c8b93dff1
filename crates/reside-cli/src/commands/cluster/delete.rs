//! `reside cluster delete`

use clap::Args;
use reside_image::Store;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::{LocalCluster, Settings};
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

/// The images that only its versions need can be pruned from now on.
fn release_images(app: &App, cluster: &LocalCluster) -> Result<(), CommandError> {
    let made = Settings::read(cluster.paths())?.and_then(|settings| settings.made);
    let Some(made) = made else { return Ok(()) };
    let store = Store::open(app.paths.images());
    let released = store.and_then(|store| store.release(made.alpha.as_str()));
    released.map_err(|why| CommandError::failed("cannot release the images of the cluster").because(why))
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
            release_images(app, &local)?;
            local.delete()?;
        }
        Config::edit(&app.paths, |config| {
            config.remove_cluster(name);
            Ok(())
        })?;
    }
    app.ui.show(&Deleted { name, deleted })
}
