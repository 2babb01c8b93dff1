//! `reside cluster bootstrap-defaults`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::defaults::{self, Defaults};
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, View};

/// Load the replicas for users and secrets, and register your account
///
/// What is there already stays as it is. The permissions that the replicas ask for are approved in your name;
/// `reside load-request list` shows them.
#[derive(Args, Debug)]
pub struct BootstrapDefaultsArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Done(Defaults);

impl View for Done {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!(
            "{} are running, and you are user {}",
            self.0.replicas.join(" and "),
            self.0.user_id
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, BootstrapDefaultsArgs {}: BootstrapDefaultsArgs) -> Result<(), CommandError> {
    let images = defaults::images(app)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        app.ui
            .show(&Done(session.bootstrap_defaults(app, &images).await?))
    })
}
