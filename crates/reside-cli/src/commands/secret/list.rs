//! `reside secret list`

use clap::Args;
use reside::{Contract, DisplayInfo, Permission};
use secret_v1::{ReadDefinitions, Secret, SecretsContract};
use serde::Serialize;
use serde_json::Value;

use crate::cli::App;
use crate::cluster::explain;
use crate::cluster::records::load_all;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List secrets, without their values
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Secrets(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: u32,
    name: String,
    display_info: DisplayInfo,
    schema: Value,
    owner: Option<String>,
    problem: Option<String>,
}

impl View for Secrets {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["ID", "NAME", "TITLE", "PROBLEM"], "No secrets");
        for row in &self.0 {
            let title = row.display_info.lookup("en").map(|text| text.title.clone());
            table.row([
                row.id.to_string(),
                row.name.clone(),
                title.unwrap_or_default(),
                row.problem.clone().unwrap_or_default(),
            ]);
        }
        Drawing::Table(table)
    }
}

fn row(secret: Secret) -> Option<Row> {
    let definition = secret.definition?;
    Some(Row {
        id: secret.id,
        name: secret.name,
        display_info: definition.display_info,
        schema: definition.schema,
        owner: secret.owner.map(|owner| owner.to_string()),
        problem: secret.problem,
    })
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let data = session.secrets().await?.data().await;
        let data = data.map_err(|why| CommandError::failed("cannot read the secrets").because(why))?;
        let read = async {
            let secrets = session.node().load(&data.get()?.secrets).await?;
            load_all(session.node(), &secrets).await
        };
        let contract = SecretsContract::identity();
        let secrets = read.await.map_err(|error| {
            explain::load(
                error,
                "the secrets",
                &contract,
                ReadDefinitions::NAME,
                session.account(),
            )
        })?;
        app.ui
            .show(&Secrets(secrets.into_iter().filter_map(row).collect()))
    })
}
