//! `reside down`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::LocalCluster;
use crate::cluster::target;
use crate::config::Config;
use crate::error::CommandError;
use crate::names::Name;
use crate::ui::{Drawing, STRONG, View};

/// Stop a cluster on this machine
///
/// Its replicas end in order, and everything stays: `reside up` starts it again as it was. That it doesn't run is no
/// error.
#[derive(Args, Debug)]
pub struct DownArgs {
    /// Name of the cluster
    #[arg(default_value = "local")]
    name: Name,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped<'a> {
    name: &'a str,
    was_running: bool,
}

impl View for Stopped<'_> {
    fn draw(&self) -> Drawing {
        let what = if self.was_running {
            "has stopped"
        } else {
            "was not running"
        };
        Drawing::Text(format!("Cluster {STRONG}{}{STRONG:#} {what}", self.name))
    }
}

/// Runs the command.
pub fn run(app: &App, args: DownArgs) -> Result<(), CommandError> {
    let name = args.name.as_str();
    let cluster = LocalCluster::new(app, name);
    if !cluster.exists() {
        let config = Config::load(&app.paths)?;
        return Err(match config.cluster(name) {
            Some(_) => CommandError::failed(format!("the cluster `{name}` is not on this machine")),
            None => target::unknown_cluster(&config, name),
        });
    }
    let was_running = app.block_on(async {
        let _progress = app.ui.progress(format!("Stopping the cluster {name}"));
        cluster.stop().await
    })?;
    app.ui.show(&Stopped { name, was_running })
}
