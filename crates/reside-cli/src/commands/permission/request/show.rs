//! `reside permission request show`

use alpha_v1::RequestedPermission;
use clap::Args;
use reside::manifest::Risk;
use serde::Serialize;
use serde_json::{Map, Value};

use super::status_text;
use crate::cli::App;
use crate::cluster::period::local_time;
use crate::cluster::permissions::AccountNames;
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, View};

/// Show what a replica asks for, and what was decided
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Number of the request
    id: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    id: u32,
    status: &'static str,
    replica_id: u32,
    replica: String,
    account_id: String,
    requirement: String,
    contract: String,
    permission: String,
    title: Option<String>,
    description: Option<String>,
    risk: Risk,
    instance_id: Option<String>,
    params: Map<String, Value>,
    reason: String,
    created_at: String,
    decided_by: Option<String>,
    decided_at: Option<String>,
    refusal_reason: Option<String>,
    expires_at: Option<String>,
    /// What this replica was refused before of the same permission.
    refused_before: Vec<u32>,
}

impl Shown {
    pub(super) async fn new(
        session: &Session,
        names: &AccountNames,
        request: RequestedPermission,
    ) -> Result<Self, CommandError> {
        let defined = session.defined(&request.contract, &request.permission).await;
        let description = defined
            .as_ref()
            .and_then(|defined| defined.display_info.description("en", &request.params));
        let others = session.permission_requests().await?;
        let refused_before = others.iter().filter(|other| {
            other.id != request.id
                && other.replica_id == request.replica_id
                && (&other.contract, &other.permission) == (&request.contract, &request.permission)
                && matches!(status_text(other), "rejected" | "revoked")
        });
        Ok(Self {
            id: request.id,
            status: status_text(&request),
            replica_id: request.replica_id,
            replica: session.replica_name(request.replica_id).await,
            account_id: request.account.to_string(),
            title: defined
                .as_ref()
                .and_then(|defined| defined.display_info.title("en", &request.params)),
            description: description.filter(|text| !text.is_empty()),
            risk: defined.as_ref().map(|defined| defined.risk).unwrap_or_default(),
            refused_before: refused_before.map(|other| other.id).collect(),
            requirement: request.requirement,
            contract: request.contract.to_string(),
            permission: request.permission,
            instance_id: request.instance_id,
            params: request.params,
            reason: request.reason,
            created_at: local_time(request.created_at),
            decided_by: request.decided_by.map(|account| names.text(account.as_str())),
            decided_at: request.decided_at.map(local_time),
            refusal_reason: request.refusal_reason,
            expires_at: request.expires_at.map(local_time),
        })
    }
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Permission request", self.id.to_string());
        fields.field("Status", self.status);
        fields.field("Replica", format!("{} ({})", self.replica, self.replica_id));
        fields.field("Asks for", self.permission.clone());
        fields.optional("Meaning", self.title.clone());
        fields.optional("Description", self.description.clone());
        fields.field("Risk", self.risk.meaning());
        fields.field("Contract", self.contract.clone());
        fields.field("Requirement", self.requirement.clone());
        if !self.params.is_empty() {
            fields.field("Params", Value::from(self.params.clone()).to_string());
        }
        fields.field("Reason", self.reason.clone());
        fields.field("Asked at", self.created_at.clone());
        fields.optional("Decided by", self.decided_by.clone());
        fields.optional("Decided at", self.decided_at.clone());
        fields.optional("Refused because", self.refusal_reason.clone());
        fields.optional("Until", self.expires_at.clone());
        if !self.refused_before.is_empty() {
            let requests: Vec<_> = self.refused_before.iter().map(ToString::to_string).collect();
            fields.field("Refused before", format!("request {}", requests.join(", ")));
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, args: ShowArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let names = session.account_names(&config).await;
        let request = session.permission_request(args.id).await?;
        app.ui.show(&Shown::new(&session, &names, request).await?)
    })
}
