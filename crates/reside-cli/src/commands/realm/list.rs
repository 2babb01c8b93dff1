//! `reside realm list`

use clap::Args;
use serde::Serialize;
use user_manager_v1::ReadRealms;

use super::Row;
use crate::cli::App;
use crate::cluster::records::load_all;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List realms
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Realms(Vec<Row>);

impl View for Realms {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["NAME", "TITLE", "USERS", "OWNER"], "No realms");
        for row in &self.0 {
            table.row([
                row.name.clone(),
                row.title.clone().unwrap_or_default(),
                row.entry().to_owned(),
                row.owner.clone().unwrap_or_default(),
            ]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let realms = session.users_data().await?.realms;
        let realms = session.load_users::<ReadRealms, _>("the realms", &realms).await?;
        let realms = load_all(session.node(), &realms).await;
        let realms = realms.map_err(|why| CommandError::failed("cannot read the realms").because(why))?;
        let defined = realms.iter().filter(|realm| realm.display_info.is_some());
        app.ui.show(&Realms(defined.map(Row::from).collect()))
    })
}
