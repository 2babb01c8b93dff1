//! `reside jazz whoami`

use clap::Args;
use jazz::{AccountId, CoId};
use serde::Serialize;

use super::session::{Session, SessionArgs};
use crate::cli::App;
use crate::error::CommandError;
use crate::names::Name;
use crate::ui::{Drawing, Fields, View};

/// Show which account you act as, and at which server
#[derive(Args, Debug)]
pub struct WhoamiArgs {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    name: &'a Name,
    account_id: &'a AccountId,
    server: String,
    profile: Option<CoId>,
    root: Option<CoId>,
}

impl View for Me<'_> {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("account", self.name.as_str());
        fields.field("id", self.account_id.as_str());
        fields.field("server", &self.server);
        fields.optional("profile", self.profile.as_ref().map(CoId::as_str));
        fields.optional("root", self.root.as_ref().map(CoId::as_str));
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, WhoamiArgs {}: WhoamiArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let account = session.node().account().get();
        let account = account.map_err(|error| session.cannot_load(error))?;
        app.ui.show(&Me {
            name: &session.account().name,
            account_id: &session.account().account_id,
            server: session.server().to_string(),
            profile: account.profile,
            root: account.root,
        })
    })
}
