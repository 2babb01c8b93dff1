//! `reside cluster info`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::{LocalCluster, State};
use crate::cluster::target;
use crate::config::Config;
use crate::error::CommandError;
use crate::names::Name;
use crate::ui::{Drawing, Fields, View};

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
    })
}
