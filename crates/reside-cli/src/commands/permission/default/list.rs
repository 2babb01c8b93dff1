//! `reside permission default list`

use clap::Args;
use serde::Serialize;
use user_manager_v1::{ReadDefaultPermissions, UserPermissionView};

use crate::cli::App;
use crate::cluster::session::Session;
use crate::commands::user::view;
use crate::error::CommandError;
use crate::ui::{Drawing, View};

/// List what every user may do
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Defaults(Vec<UserPermissionView>);

impl View for Defaults {
    fn draw(&self) -> Drawing {
        Drawing::Table(view::permissions(&self.0))
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let (what, defaults) = (
            "the default permissions",
            session.users_data().await?.default_permissions,
        );
        let defaults = session
            .load_users::<ReadDefaultPermissions, _>(what, &defaults)
            .await?;
        let defaults = defaults.entries();
        let defaults =
            defaults.map_err(|why| CommandError::failed(format!("cannot read {what}")).because(why))?;
        app.ui
            .show(&Defaults(defaults.into_values().map(view::permission).collect()))
    })
}
