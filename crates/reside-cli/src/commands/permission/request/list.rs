//! `reside permission request list`

use clap::Args;
use reside::manifest::Risk;
use serde::Serialize;

use super::status_text;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List what replicas have asked for at run time
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Requests(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: u32,
    status: &'static str,
    replica_id: u32,
    replica: String,
    contract: String,
    permission: String,
    instance_id: Option<String>,
    risk: Risk,
    reason: String,
    created_at: String,
}

impl View for Requests {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            [
                "ID",
                "STATUS",
                "RISK",
                "REPLICA",
                "PERMISSION",
                "INSTANCE",
                "CONTRACT",
                "REASON",
            ],
            "No replica has asked for a permission",
        );
        for row in &self.0 {
            table.row([
                row.id.to_string(),
                row.status.to_owned(),
                row.risk.to_string(),
                row.replica.clone(),
                row.permission.clone(),
                row.instance_id.clone().unwrap_or_default(),
                row.contract.clone(),
                row.reason.clone(),
            ]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command. What waits comes first, and of that what can do most.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let mut rows = Vec::new();
        for request in session.permission_requests().await? {
            let risk = session.risk(&request.contract, &request.permission).await;
            rows.push(Row {
                id: request.id,
                status: status_text(&request),
                replica_id: request.replica_id,
                replica: session.replica_name(request.replica_id).await,
                contract: request.contract.to_string(),
                permission: request.permission,
                instance_id: request.instance_id,
                risk,
                reason: request.reason,
                created_at: request.created_at.to_string(),
            });
        }
        rows.sort_by_key(|row| (row.status != "pending", std::cmp::Reverse(row.risk), row.id));
        app.ui.show(&Requests(rows))
    })
}
