//! `reside load-request show`

use std::cmp::Reverse;

use alpha_v1::{LoadRequest, LoadRequestStatus, RequestStatus, RequestedPermission, RequirementChoice};
use clap::Args;
use reside::manifest::{PermissionRequest, ReplicaManifest, Risk};
use serde::Serialize;
use serde_json::{Map, Value};

use super::list::status_text;
use crate::cli::App;
use crate::cluster::difference::Difference;
use crate::cluster::selector::ReplicaSelector;
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
    difference: Option<Difference>,
    release_notes: Option<String>,
    requested_by: String,
    decided_by: Option<String>,
    created_at: String,
    /// Earlier requests for this replica that were rejected.
    rejected_before: Vec<Rejection>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejection {
    id: u32,
    reason: Option<String>,
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
    risk: Risk,
    instance_id: Option<String>,
    params: Map<String, Value>,
    /// Requests by which this replica was refused it at run time.
    refused_before: Vec<u32>,
}

impl Shown {
    /// Adds to a load request what is known elsewhere: names of replicas, titles of permissions.
    pub async fn new(session: &Session, request: &LoadRequest) -> Self {
        let validated = request.validated.clone();
        let manifest = validated.as_ref().map(|validated| &validated.manifest);
        let text = manifest.and_then(|manifest| manifest.display_info.lookup("en"));
        let refused = refused_permissions(session, request).await;
        let mut requirements = Vec::new();
        for choice in validated.iter().flat_map(|validated| &validated.requirements) {
            requirements.push(requirement(session, choice, manifest, &refused).await);
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
            difference: difference(session, request).await,
            release_notes: validated
                .as_ref()
                .and_then(|validated| validated.release_notes.clone()),
            requested_by: request.requested_by.to_string(),
            decided_by: request.decided_by.as_ref().map(ToString::to_string),
            created_at: request.created_at.to_string(),
            rejected_before: rejected_before(session, request).await,
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
        for rejection in &self.rejected_before {
            let reason = rejection
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            fields.field("Rejected before", format!("request {}{reason}", rejection.id));
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
        if let Some(difference) = &self.difference {
            fields.field("Compared with", format!("version {}", difference.version));
            fields.table("Changes", difference.table());
        }
        if let Some(notes) = &self.release_notes {
            fields.text("Release notes", notes);
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
        let mut asked: Vec<_> = self
            .requirements
            .iter()
            .flat_map(|requirement| {
                requirement
                    .permissions
                    .iter()
                    .map(|permission| (&requirement.key, permission))
            })
            .collect();
        // What can do most is read first.
        asked.sort_by_key(|(_, permission)| Reverse(permission.risk));
        let mut table = Table::new(["RISK", "KEY", "PERMISSION", "INSTANCE", "MEANING"], "");
        for (key, permission) in asked {
            let mut meaning = permission.title.clone().unwrap_or_default();
            for request in &permission.refused_before {
                meaning += &format!(" (refused before, request {request})");
            }
            table.row([
                permission.risk.to_string(),
                key.clone(),
                permission.name.clone(),
                permission.instance_id.clone().unwrap_or_default(),
                meaning,
            ]);
        }
        table
    }
}

/// What a request that waits would change at the replica that it updates; nothing if that can't be read.
async fn difference(session: &Session, request: &LoadRequest) -> Option<Difference> {
    if request.status != LoadRequestStatus::RequiresApproval {
        return None;
    }
    let (id, validated) = (request.replica_id?, request.validated.as_ref()?);
    let record = session.replica(&ReplicaSelector::Id(id)).await.ok()?;
    let current = session.complete(record).await.ok()?;
    let (version, same_image) = (&current.version, current.digest() == validated.digest);
    Some(Difference::from(
        version.id,
        same_image,
        &version.manifest,
        &validated.manifest,
    ))
}

async fn requirement(
    session: &Session,
    choice: &RequirementChoice,
    manifest: Option<&ReplicaManifest>,
    refused: &[RequestedPermission],
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
        permissions.push(permission(session, choice, request, refused).await);
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
    refused: &[RequestedPermission],
) -> Permission {
    // Without the contract's texts, the name has to do.
    let defined = session.defined(&choice.contract, &request.name).await;
    let is_same = |refused: &&RequestedPermission| {
        (&refused.contract, &refused.permission) == (&choice.contract, &request.name)
            && refused.instance_id == request.instance_id
    };
    Permission {
        name: request.name.clone(),
        title: defined
            .as_ref()
            .and_then(|defined| defined.display_info.title("en", &request.params)),
        risk: defined.map(|defined| defined.risk).unwrap_or_default(),
        refused_before: refused.iter().filter(is_same).map(|refused| refused.id).collect(),
        instance_id: request.instance_id.clone(),
        params: request.params.clone(),
    }
}

/// What the replica was refused at run time, if the account may know.
async fn refused_permissions(session: &Session, request: &LoadRequest) -> Vec<RequestedPermission> {
    let mut requests = match request.replica_id {
        Some(_) => session.permission_requests().await.unwrap_or_default(),
        None => Vec::new(),
    };
    requests.retain(|asked| {
        Some(asked.replica_id) == request.replica_id
            && matches!(asked.status, RequestStatus::Rejected | RequestStatus::Revoked)
    });
    requests
}

/// Earlier requests for the same image name that somebody has rejected.
async fn rejected_before(session: &Session, request: &LoadRequest) -> Vec<Rejection> {
    let identity = |request: &LoadRequest| {
        let validated = request.validated.as_ref();
        validated.map(|validated| validated.manifest.identity.clone())
    };
    let earlier = session.load_requests().await.unwrap_or_default().into_iter();
    let rejected = earlier.filter(|other| {
        other.id < request.id
            && other.status == LoadRequestStatus::Rejected
            && identity(other).is_some()
            && identity(other) == identity(request)
    });
    let rejection = |other: LoadRequest| Rejection {
        id: other.id,
        reason: other.rejection_reason,
    };
    rejected.map(rejection).collect()
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
