//! `reside realm create`

use clap::Args;
use reside::DisplayInfo;
use serde::Serialize;
use user_manager_v1::DefineRealm;

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Create a realm for managed users
///
/// Replicas define their realms by themselves. One that is there gets the new title.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name of the realm
    name: String,

    /// What it is called [default: its name]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    name: String,
    realm_id: String,
}

impl View for Created {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!("Created the realm {STRONG}{}{STRONG:#}", self.name))
    }
}

/// Runs the command.
pub fn run(app: &App, args: CreateArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let title = args.title.as_ref().unwrap_or(&args.name);
        let request = DefineRealm {
            name: args.name.clone(),
            display_info: DisplayInfo::default().with("en", title, "").with("ru", title, ""),
        };
        let defined = session.user_manager().await?.client().define_realm(request).await;
        let realm = defined.map_err(session.users_refused())?;
        app.ui.show(&Created {
            name: args.name,
            realm_id: realm.realm,
        })
    })
}
