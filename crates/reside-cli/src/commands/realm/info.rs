//! `reside realm info`

use clap::Args;
use serde::Serialize;

use super::Row;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, View};

/// Show a realm
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Name of the realm
    name: String,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    realm: Row,
    description: Option<String>,
    /// Absent for those who may not see them.
    users: Option<usize>,
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Name", &self.realm.name);
        fields.optional("Title", self.realm.title.as_ref());
        fields.optional("Description", self.description.as_ref());
        fields.field("Users are", self.realm.entry());
        fields.optional("Users", self.users.map(|users| users.to_string()));
        fields.optional("Owner", self.realm.owner.as_ref());
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, args: InfoArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let realm = session.realm(&args.name).await?;
        let users = session.node().load(&realm.users).await.ok();
        let texts = realm.display_info.as_ref().and_then(|texts| texts.lookup("en"));
        let description = texts.map(|text| text.description.clone());
        app.ui.show(&Shown {
            realm: Row::from(&realm),
            description: description.filter(|text| !text.is_empty()),
            users: users.and_then(|users| users.len().ok()),
        })
    })
}
