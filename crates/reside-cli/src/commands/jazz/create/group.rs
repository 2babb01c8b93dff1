//! `reside jazz create group`

use clap::Args;
use jazz::CoId;
use serde::Serialize;

use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;
use crate::ui::{Drawing, View};

/// Create a group with you as its admin
#[derive(Args, Debug)]
pub struct GroupArgs {}

#[derive(Serialize)]
struct Created<'a> {
    id: &'a CoId,
}

impl View for Created<'_> {
    fn draw(&self) -> Drawing {
        Drawing::Text(self.id.to_string())
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, GroupArgs {}: GroupArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.node().create_group();
        let group = group.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.show(&Created { id: group.id() })
    })
}
