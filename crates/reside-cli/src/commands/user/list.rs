//! `reside user list`

use clap::Args;
use serde::Serialize;
use user_manager_v1::{ReadRealmUsers, ReadUsers, User};

use super::view;
use crate::cli::App;
use crate::cluster::records::load_all;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List users
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only of this realm
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Users(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: u32,
    account_id: String,
    name: String,
    realm: String,
    is_managed: bool,
}

impl View for Users {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["ID", "NAME", "REALM", "KIND", "ACCOUNT"], "No users");
        for row in &self.0 {
            table.row([
                row.id.to_string(),
                row.name.clone(),
                row.realm.clone(),
                view::kind(row.is_managed).to_owned(),
                row.account_id.clone(),
            ]);
        }
        Drawing::Table(table)
    }
}

impl From<User> for Row {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            account_id: user.account.to_string(),
            name: user.name,
            realm: user.realm,
            is_managed: user.is_managed,
        }
    }
}

/// Runs the command.
pub fn run(app: &App, args: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let users = match &args.realm {
            None => {
                let users = session.users_data().await?.users;
                session.load_users::<ReadUsers, _>("the users", &users).await?
            }
            Some(realm) => {
                let users = session.realm(realm).await?.users;
                session
                    .load_users::<ReadRealmUsers, _>("the users of the realm", &users)
                    .await?
            }
        };
        let users = load_all(session.node(), &users).await;
        let users = users.map_err(|why| CommandError::failed("cannot read the users").because(why))?;
        app.ui.show(&Users(users.into_iter().map(Row::from).collect()))
    })
}
