//! `reside load-request show`

use alpha_v1::{LoadRequest, RequirementChoice};
use clap::Args;
use reside::manifest::{PermissionRequest, ReplicaManifest};
use serde::Serialize;
use serde_json::{Map, Value};

use super::list::status_text;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// Show a load request: what the image is, and what it asks for
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Number of the load request
    id: u32,
}

/// A load request as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    id: u32,
    status: &'static str,
    image: String,
    error_message: Option<String>,
    rejection_reason: Option<String>,
    replica_id: Option<u32>,
    replica_name: Option<String>,
    version: Option<u32>,
    identity: Option<String>,
    digest: Option<String>,
    title: Option<String>,
    description: Option<String>,
    class: Option<&'static str>,
    implementations: Vec<String>,
    requirements: Vec<Requirement>,
    requested_by: String,
    decided_by: Option<String>,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requirement {
    key: String,
    contract: String,
    optional: bool,
    multiple: bool,
    candidates: Vec<Candidate>,
    permissions: Vec<Permission>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    id: u32,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    name: String,
    title: Option<String>,
    instance_id: Option<String>,
    params: Map<String, Value>,
}

impl Shown {
    /// Adds to a load request what is known elsewhere: names of replicas, titles of permissions.
    pub async fn new(session: &Session, request: &LoadRequest) -> Self {
        let validated = request.validated.clone();
        let manifest = validated.as_ref().map(|validated| &validated.manifest);
        let text = manifest.and_then(|manifest| manifest.display_info.lookup("en"));
        let mut requirements = Vec::new();
        for choice in validated.iter().flat_map(|validated| &validated.requirements) {
            requirements.push(requirement(session, choice, manifest).await);
        }
        Self {
            id: request.id,
            status: status_text(request.status),
            image: request.image.clone(),
            error_message: request.error_message.clone(),
            rejection_reason: request.rejection_reason.clone(),
            replica_id: request.replica_id,
            replica_name: request.replica_name.clone(),
            version: request.version_id,
            identity: manifest.map(|manifest| manifest.identity.to_string()),
            digest: validated.as_ref().map(|validated| validated.digest.clone()),
            title: text.map(|text| text.title.clone()),
            description: text
                .map(|text| text.description.clone())
                .filter(|text| !text.is_empty()),
            class: manifest.map(|manifest| crate::commands::replica::class_text(manifest.info.class)),
            implementations: manifest
                .map(|manifest| {
                    manifest
                        .implementations
                        .values()
                        .map(|one| one.identity.to_string())
                        .collect()
                })
                .unwrap_or_default(),
            requirements,
            requested_by: request.requested_by.to_string(),
            decided_by: request.decided_by.as_ref().map(ToString::to_string),
            created_at: request.created_at.to_string(),
        }
    }

    /// As a text, for a question.
    pub fn text(&self, app: &App) -> String {
        app.ui.drawn(self)
    }
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Load request", self.id.to_string());
        fields.field("Status", self.status);
        fields.optional("Problem", self.error_message.clone());
        fields.optional("Reason", self.rejection_reason.clone());
        fields.field("Image", self.image.clone());
        fields.optional("Identity", self.identity.clone());
        fields.optional("Digest", self.digest.clone());
        fields.optional("Title", self.title.clone());
        fields.optional("Description", self.description.clone());
        fields.optional("Class", self.class);
        let replica = self.replica_name.as_ref().map(|name| match self.replica_id {
            Some(id) => format!("{name} ({id})"),
            None => format!("{name} (new)"),
        });
        fields.optional("Replica", replica);
        fields.optional("Version", self.version.map(|version| version.to_string()));
        for contract in &self.implementations {
            fields.field("Implements", contract.clone());
        }
        if !self.requirements.is_empty() {
            fields.table("Contracts it uses", self.contracts());
        }
        if self
            .requirements
            .iter()
            .any(|requirement| !requirement.permissions.is_empty())
        {
            fields.table("Permissions it asks for", self.permissions());
        }
        Drawing::Fields(fields)
    }
}

impl Shown {
    fn contracts(&self) -> Table {
        let mut table = Table::new(["KEY", "CONTRACT", "REPLICAS"], "");
        for requirement in &self.requirements {
            let names: Vec<_> = requirement
                .candidates
                .iter()
                .map(|candidate| candidate.name.as_str())
                .collect();
            let none = if requirement.optional {
                "none (optional)"
            } else {
                "none"
            };
            let replicas = if names.is_empty() {
                none.to_owned()
            } else {
                names.join(" or ")
            };
            table.row([requirement.key.clone(), requirement.contract.clone(), replicas]);
        }
        table
    }

    fn permissions(&self) -> Table {
        let mut table = Table::new(["KEY", "PERMISSION", "INSTANCE", "MEANING"], "");
        for requirement in &self.requirements {
            for permission in &requirement.permissions {
                let instance = permission.instance_id.clone().unwrap_or_default();
                let title = permission.title.clone().unwrap_or_default();
                table.row([requirement.key.clone(), permission.name.clone(), instance, title]);
            }
        }
        table
    }
}

async fn requirement(
    session: &Session,
    choice: &RequirementChoice,
    manifest: Option<&ReplicaManifest>,
) -> Requirement {
    let mut candidates = Vec::new();
    for id in &choice.candidates {
        candidates.push(Candidate {
            id: *id,
            name: session.replica_name(*id).await,
        });
    }
    let asked = manifest.and_then(|manifest| manifest.requirements.get(&choice.key));
    let mut permissions = Vec::new();
    for request in asked.iter().flat_map(|asked| &asked.permissions) {
        permissions.push(permission(session, choice, request).await);
    }
    Requirement {
        key: choice.key.clone(),
        contract: choice.contract.to_string(),
        optional: choice.optional,
        multiple: choice.multiple,
        candidates,
        permissions,
    }
}

async fn permission(
    session: &Session,
    choice: &RequirementChoice,
    request: &PermissionRequest,
) -> Permission {
    // Without the contract's texts, the name has to do.
    let contract = alpha_v1::contract_by_identity(session.data(), &choice.contract)
        .await
        .ok()
        .flatten();
    let contract = contract.and_then(|contract| contract.get().ok());
    let defined = contract
        .as_ref()
        .and_then(|contract| contract.manifest.permissions.get(&request.name));
    Permission {
        name: request.name.clone(),
        title: defined.and_then(|defined| defined.display_info.title("en", &request.params)),
        instance_id: request.instance_id.clone(),
        params: request.params.clone(),
    }
}

/// Runs the command.
pub fn run(app: &App, args: ShowArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let request = session.load_request(args.id).await?;
        let request = request.get().map_err(|why| {
            CommandError::failed(format!("cannot read the load request {}", args.id)).because(why)
        })?;
        app.ui.show(&Shown::new(&session, &request).await)
    })
}
