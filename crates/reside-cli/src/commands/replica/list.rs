//! `reside replica list`

use alpha_v1::DevSession;
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::records::Replica;
use crate::cluster::rollout::status_text;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List the replicas that are loaded
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Replicas(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: u32,
    name: String,
    identity: String,
    class: &'static str,
    status: &'static str,
    version: u32,
    enabled: bool,
    dev: Option<DevSession>,
    image: String,
    digest: String,
}

impl View for Replicas {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["ID", "NAME", "STATUS", "VERSION", "IDENTITY"], "No replicas");
        for row in &self.0 {
            let status = match (&row.dev, row.enabled) {
                (Some(_), _) => "dev".to_owned(),
                (None, true) => row.status.to_owned(),
                (None, false) => format!("{}, disabled", row.status),
            };
            table.row([
                row.id.to_string(),
                row.name.clone(),
                status,
                row.version.to_string(),
                row.identity.clone(),
            ]);
        }
        Drawing::Table(table)
    }
}

impl From<Replica> for Row {
    fn from(replica: Replica) -> Self {
        let digest = replica.digest().to_owned();
        Self {
            id: replica.record.id,
            name: replica.record.name,
            identity: replica.record.identity.to_string(),
            class: super::info::class_text(replica.record.info.class),
            status: status_text(replica.version.status),
            version: replica.version.id,
            enabled: replica.management.enabled,
            dev: replica.management.dev,
            image: replica.version.image,
            digest,
        }
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let rows = session.replicas().await?.into_iter().map(Row::from);
        app.ui.show(&Replicas(rows.collect()))
    })
}
