//! Realms: the parts of the users.

mod create;
mod info;
mod list;

use clap::Subcommand;
use serde::Serialize;
use user_manager_v1::Realm;

use crate::cli::App;
use crate::error::CommandError;

/// List, show and create realms of users
#[derive(Debug, Subcommand)]
pub enum RealmCommand {
    List(list::ListArgs),
    Info(info::InfoArgs),
    Create(create::CreateArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: RealmCommand) -> Result<(), CommandError> {
    match command {
        RealmCommand::List(args) => list::run(app, args),
        RealmCommand::Info(args) => info::run(app, args),
        RealmCommand::Create(args) => create::run(app, args),
    }
}

/// A realm as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    title: Option<String>,
    is_open: bool,
    owner: Option<String>,
}

impl From<&Realm> for Row {
    fn from(realm: &Realm) -> Self {
        let texts = realm.display_info.as_ref().and_then(|texts| texts.lookup("en"));
        Self {
            name: realm.name.clone(),
            title: texts.map(|text| text.title.clone()),
            is_open: realm.is_open,
            owner: realm.owner.as_ref().map(ToString::to_string),
        }
    }
}

impl Row {
    fn entry(&self) -> &'static str {
        if self.is_open {
            "anybody registers"
        } else {
            "created by replicas"
        }
    }
}
