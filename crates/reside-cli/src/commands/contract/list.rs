//! `reside contract list`

use alpha_v1::ContractRecord;
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::records::load_all;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List the contracts that the cluster knows
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Contracts(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: u32,
    identity: String,
    title: Option<String>,
    digest: Option<String>,
    methods: Vec<String>,
    permissions: Vec<String>,
}

impl View for Contracts {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            ["ID", "IDENTITY", "METHODS", "PERMISSIONS", "TITLE"],
            "No contracts",
        );
        for row in &self.0 {
            let (methods, permissions) = (row.methods.len().to_string(), row.permissions.len().to_string());
            let title = row.title.clone().unwrap_or_default();
            table.row([
                row.id.to_string(),
                row.identity.clone(),
                methods,
                permissions,
                title,
            ]);
        }
        Drawing::Table(table)
    }
}

impl From<ContractRecord> for Row {
    fn from(contract: ContractRecord) -> Self {
        let manifest = contract.manifest;
        Self {
            id: contract.id,
            identity: contract.identity.to_string(),
            title: manifest.display_info.lookup("en").map(|text| text.title.clone()),
            digest: contract.digest,
            methods: manifest.methods.into_keys().collect(),
            permissions: manifest.permissions.into_keys().collect(),
        }
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let read = async {
            let record = session.node().load(&session.data().get()?.contracts).await?;
            load_all(session.node(), &record).await
        };
        let contracts = read
            .await
            .map_err(|why| CommandError::failed("cannot read the contracts").because(why))?;
        app.ui
            .show(&Contracts(contracts.into_iter().map(Row::from).collect()))
    })
}
