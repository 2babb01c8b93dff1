//! `reside replica info`

use std::collections::BTreeMap;

use alpha_v1::{DevSession, ReadReplicas, ReplicaVersion};
use clap::Args;
use reside::manifest::ReplicaClass;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::records::Replica;
use crate::cluster::rollout::status_text;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// Show a replica with its versions
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    id: u32,
    name: String,
    title: Option<String>,
    identity: String,
    class: &'static str,
    exclusive: bool,
    scalable: bool,
    status: &'static str,
    error_message: Option<String>,
    version: u32,
    enabled: bool,
    dev: Option<DevSession>,
    placement_group: Option<String>,
    image: String,
    digest: String,
    account_id: String,
    control_block_id: String,
    owner_id: Option<String>,
    implementations: Vec<String>,
    requirements: BTreeMap<String, Vec<String>>,
    versions: Vec<Version>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    id: u32,
    status: &'static str,
    image: String,
    created_at: String,
    load_request_id: u32,
    error_message: Option<String>,
}

impl View for Info {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Replica", format!("{} ({})", self.name, self.id));
        fields.optional("Title", self.title.clone());
        fields.field("Identity", self.identity.clone());
        fields.field("Status", self.status);
        fields.optional("Problem", self.error_message.clone());
        fields.field("Version", self.version.to_string());
        fields.field("Digest", self.digest.clone());
        fields.field("Enabled", if self.enabled { "yes" } else { "no" });
        let dev = self.dev.as_ref();
        fields.optional(
            "Run by",
            dev.map(|dev| format!("a dev session of {} since {}", dev.by, dev.since)),
        );
        fields.optional("Placement", self.placement_group.clone());
        fields.field("Class", self.class);
        fields.field("Exclusive", if self.exclusive { "yes" } else { "no" });
        fields.field("Scalable", if self.scalable { "yes" } else { "no" });
        fields.field("Account", self.account_id.clone());
        fields.field("Control block", self.control_block_id.clone());
        fields.optional("Owner", self.owner_id.clone());
        for contract in &self.implementations {
            fields.field("Implements", contract.clone());
        }
        for (key, replicas) in &self.requirements {
            fields.field("Uses", format!("{key}: {}", replicas.join(", ")));
        }
        let mut versions = Table::new(["VERSION", "STATUS", "CREATED", "REQUEST", "IMAGE"], "");
        for version in &self.versions {
            let request = version.load_request_id.to_string();
            let (created, image) = (version.created_at.clone(), version.image.clone());
            versions.row([
                version.id.to_string(),
                version.status.to_owned(),
                created,
                request,
                image,
            ]);
        }
        fields.table("Versions", versions);
        Drawing::Fields(fields)
    }
}

/// A class as it is shown.
pub fn class_text(class: ReplicaClass) -> &'static str {
    match class {
        ReplicaClass::LongRunning => "long-running",
        ReplicaClass::Oneshot => "oneshot",
    }
}

/// Runs the command.
pub fn run(app: &App, args: InfoArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        let read = async { tokio::try_join!(session.complete(record.clone()), session.versions(&record)) };
        let (replica, versions) = read
            .await
            .map_err(|error| session.cannot_load::<ReadReplicas>(error, "the replica"))?;
        let mut requirements = BTreeMap::new();
        for (key, ids) in &replica.version.requirements {
            let names = futures::future::join_all(ids.iter().map(|id| session.replica_name(*id))).await;
            requirements.insert(key.clone(), names);
        }
        app.ui.show(&info(replica, versions, requirements))
    })
}

fn info(
    replica: Replica,
    versions: Vec<ReplicaVersion>,
    requirements: BTreeMap<String, Vec<String>>,
) -> Info {
    let digest = replica.digest().to_owned();
    let Replica {
        record,
        version,
        management,
    } = replica;
    Info {
        id: record.id,
        name: record.name,
        title: record.display_info.title("en", &serde_json::Map::new()),
        identity: record.identity.to_string(),
        class: class_text(record.info.class),
        exclusive: record.info.exclusive,
        scalable: record.info.scalable,
        status: status_text(version.status),
        error_message: version.error_message,
        version: version.id,
        enabled: management.enabled,
        dev: management.dev,
        placement_group: management.placement_group,
        image: version.image,
        digest,
        account_id: record.account.to_string(),
        control_block_id: record.rcb.id().to_string(),
        owner_id: record.owner_id,
        implementations: record.implementations.iter().map(ToString::to_string).collect(),
        requirements,
        versions: versions.into_iter().map(Version::from).collect(),
    }
}

impl From<ReplicaVersion> for Version {
    fn from(version: ReplicaVersion) -> Self {
        Self {
            id: version.id,
            status: status_text(version.status),
            image: version.image,
            created_at: version.created_at.to_string(),
            load_request_id: version.load_request_id,
            error_message: version.error_message,
        }
    }
}
