//! `reside cluster info`

use std::time::Duration;

use clap::Args;
use reside_image::Identity;
use serde::Serialize;
use tokio::time::timeout;

use crate::cli::App;
use crate::cluster::local::{LocalCluster, State, SystemImages, updates};
use crate::cluster::target;
use crate::config::Config;
use crate::error::CommandError;
use crate::names::Name;
use crate::ui::{Drawing, Fields, View};

/// A runtime that takes longer is starting, or hangs; the rest is shown without it.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Show a cluster
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Name of the cluster [default: the current one]
    name: Option<Name>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    name: String,
    status: State,
    endpoint: String,
    alpha_replica_id: String,
    namespace: Option<String>,
    kube_context: Option<String>,
    process_id: Option<u32>,
    folder: Option<String>,
    contexts: Vec<String>,
    /// System replicas that this program could update.
    updates: Vec<Identity>,
}

impl View for Info {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Cluster", self.name.clone());
        fields.field("Status", self.status.text());
        fields.field("Endpoint", self.endpoint.clone());
        fields.field("Alpha", self.alpha_replica_id.clone());
        fields.optional("Namespace", self.namespace.clone());
        fields.optional("Kubernetes context", self.kube_context.clone());
        fields.optional("Process", self.process_id.map(|pid| pid.to_string()));
        fields.optional("Folder", self.folder.clone());
        fields.field("Contexts", self.contexts.join(", "));
        for identity in &self.updates {
            fields.field("Update", updates::command(identity));
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, args: InfoArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    let name = args.name.as_ref().map(|name| name.as_str());
    let cluster = target::cluster(&config, &app.globals, name)?;
    let local = LocalCluster::new(app, cluster.name.as_str());
    let contexts = config
        .contexts
        .iter()
        .filter(|context| context.cluster == cluster.name);
    app.ui.show(&Info {
        name: cluster.name.to_string(),
        status: local.state()?,
        endpoint: cluster.endpoint.clone(),
        alpha_replica_id: cluster.alpha_replica_id.to_string(),
        namespace: cluster.namespace.clone(),
        kube_context: cluster.kube_context.clone(),
        process_id: local.process()?,
        folder: local
            .exists()
            .then(|| local.paths().folder().display().to_string()),
        contexts: contexts.map(|context| context.name.to_string()).collect(),
        updates: updates(app, &local)?,
    })
}

/// The system replicas that this program could update; none if the cluster doesn't run or doesn't answer.
fn updates(app: &App, local: &LocalCluster) -> Result<Vec<Identity>, CommandError> {
    let Some(images) = SystemImages::read(&app.paths)? else {
        return Ok(Vec::new());
    };
    app.block_on(async {
        let client = local.client();
        let asking = timeout(ANSWER_TIME, updates::available(&client, &images));
        Ok(asking
            .await
            .map_or_else(|_| Vec::new(), Result::unwrap_or_default))
    })
}
