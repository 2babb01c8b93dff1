//! `reside user create`

use clap::Args;
use serde::Serialize;
use user_manager_v1::{CreateUser, CreatedUser};

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Create a managed user
///
/// Its key is kept by the user manager, for the replicas that may impersonate users of the realm.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Realm that the user belongs to
    #[arg(long, value_name = "REALM")]
    realm: String,

    /// What the user is called
    #[arg(long, value_name = "NAME")]
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    id: u32,
    account_id: String,
    name: String,
    realm: String,
    is_managed: bool,
}

impl View for Created {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!(
            "Created user {STRONG}{}{STRONG:#}, {}, in the realm {}: {}",
            self.id, self.name, self.realm, self.account_id
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: CreateArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let CreateArgs { realm, name } = args;
        let request = CreateUser {
            realm_name: realm.clone(),
            account_name: name.clone(),
        };
        let created = session.user_manager().await?.client().create_user(request).await;
        let CreatedUser {
            user_id, account_id, ..
        } = created.map_err(session.users_refused())?;
        app.ui.show(&Created {
            id: user_id,
            account_id,
            name,
            realm,
            is_managed: true,
        })
    })
}
