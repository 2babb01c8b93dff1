//! `reside load-request list`

use alpha_v1::{LoadRequest, LoadRequestStatus};
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View, short_digest};

/// List the requests to load replicas
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
    replica_name: Option<String>,
    image: String,
    digest: Option<String>,
    requested_by: String,
    created_at: String,
}

impl View for Requests {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            ["ID", "STATUS", "REPLICA", "CREATED", "IMAGE"],
            "No load requests",
        );
        for row in &self.0 {
            let name = row.replica_name.clone().unwrap_or_default();
            let (created, image) = (seconds(&row.created_at), short_image(&row.image));
            table.row([row.id.to_string(), row.status.to_owned(), name, created, image]);
        }
        Drawing::Table(table)
    }
}

/// A time without its fractions, as `2026-01-31 12:00:00Z`.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replace('T', " ")),
        None => time.replace('T', " "),
    }
}

/// An image with as much of its digest as tells it from others.
fn short_image(image: &str) -> String {
    match image.split_once('@') {
        Some((name, digest)) => format!("{name}@{}", short_digest(digest)),
        None => image.to_owned(),
    }
}

impl From<LoadRequest> for Row {
    fn from(request: LoadRequest) -> Self {
        Self {
            id: request.id,
            status: status_text(request.status),
            replica_name: request.replica_name,
            image: request.image,
            digest: request.validated.map(|validated| validated.digest),
            requested_by: request.requested_by.to_string(),
            created_at: request.created_at.to_string(),
        }
    }
}

/// A status as it is shown.
pub fn status_text(status: LoadRequestStatus) -> &'static str {
    match status {
        LoadRequestStatus::Validating => "validating",
        LoadRequestStatus::Invalid => "invalid",
        LoadRequestStatus::RequiresApproval => "requires-approval",
        LoadRequestStatus::Approved => "approved",
        LoadRequestStatus::Rejected => "rejected",
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let rows = session.load_requests().await?.into_iter().map(Row::from);
        app.ui.show(&Requests(rows.collect()))
    })
}
