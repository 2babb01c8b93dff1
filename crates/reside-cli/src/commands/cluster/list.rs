//! `reside cluster list`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::{LocalCluster, State};
use crate::cluster::target;
use crate::config::{Cluster, Config};
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List the clusters that this machine knows
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Clusters(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    endpoint: String,
    status: State,
    current: bool,
    alpha_replica_id: String,
}

impl View for Clusters {
    fn draw(&self) -> Drawing {
        let empty = "There are no clusters; `reside up local` makes one on this machine";
        let mut table = Table::new(["NAME", "ENDPOINT", "STATUS", "CURRENT"], empty);
        for row in &self.0 {
            let current = if row.current { "yes" } else { "" };
            let status = row.status.text().to_owned();
            table.row([row.name.clone(), row.endpoint.clone(), status, current.to_owned()]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    // Without a current one, none is marked.
    let current = target::cluster(&config, &app.globals, None)
        .ok()
        .map(|cluster| &cluster.name);
    let row = |cluster: &Cluster| {
        Ok(Row {
            name: cluster.name.to_string(),
            endpoint: cluster.endpoint.clone(),
            status: LocalCluster::new(app, cluster.name.as_str()).state()?,
            current: current == Some(&cluster.name),
            alpha_replica_id: cluster.alpha_replica_id.to_string(),
        })
    };
    let rows: Result<_, CommandError> = config.clusters.iter().map(row).collect();
    app.ui.show(&Clusters(rows?))
}
