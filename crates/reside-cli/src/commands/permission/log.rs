//! `reside permission log`

use std::collections::BTreeMap;

use alpha_v1::{GrantKind, GrantReason, GrantRecord, Revocation};
use clap::Args;
use jazz::{AccountId, Co, FieldEdit, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::cli::App;
use crate::cluster::period::local_time;
use crate::cluster::permissions::{AccountNames, FilterArgs};
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// Show who granted and revoked what, and when
///
/// Taken from the history of the grants, which Alpha signs and nobody can change afterwards.
#[derive(Args, Debug)]
pub struct LogArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Log(Vec<Event>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    at: Timestamp,
    action: &'static str,
    /// Who decided; absent if nobody had to, as when a version goes.
    by: Option<String>,
    account_id: String,
    replica_id: u32,
    replica: String,
    contract: String,
    permission: String,
    instance_id: Option<String>,
    why: String,
    expires_at: Option<Timestamp>,
    /// The account that signed it.
    signed_by: String,
    #[serde(skip)]
    by_name: String,
    #[serde(skip)]
    account: String,
}

impl View for Log {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            [
                "AT",
                "ACTION",
                "BY",
                "ACCOUNT",
                "REPLICA",
                "PERMISSION",
                "INSTANCE",
                "WHY",
            ],
            "Nothing was granted or revoked",
        );
        for event in &self.0 {
            let until = event.expires_at.map(|end| format!(", until {}", local_time(end)));
            let until = until.filter(|_| event.action == "granted").unwrap_or_default();
            table.row([
                local_time(event.at),
                event.action.to_owned(),
                event.by_name.clone(),
                event.account.clone(),
                event.replica.clone(),
                event.permission.clone(),
                event.instance_id.clone().unwrap_or_default(),
                format!("{}{until}", event.why),
            ]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, args: LogArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let names = session.account_names(&config).await;
        let filter = args.filter.resolve(&session, &config, &names).await?;
        let deciders = deciders(&session).await;
        let mut events = Vec::new();
        for handle in session.grants().await? {
            let grant = session.grant(&handle)?;
            if !filter.means(&grant) {
                continue;
            }
            let replica = session.replica_name(grant.replica_id).await;
            for step in steps(&session, &handle, &deciders)? {
                events.push(event(&names, &grant, &replica, step));
            }
        }
        events.sort_by_key(|event| event.at);
        app.ui.show(&Log(events))
    })
}

/// One thing that happened to a grant.
struct Step {
    at: Timestamp,
    action: &'static str,
    by: Option<AccountId>,
    reason: GrantReason,
    signed_by: String,
}

/// Who approved the versions of replicas, if the account may know.
async fn deciders(session: &Session) -> BTreeMap<(u32, u32), AccountId> {
    let requests = session.load_requests().await.unwrap_or_default();
    let approved = requests.into_iter().filter_map(|request| {
        let version = (request.replica_id?, request.version_id?);
        Some((version, request.decided_by?))
    });
    approved.collect()
}

/// Goes through the history of a grant: reasons that came, and reasons that went.
fn steps(
    session: &Session,
    handle: &Co<GrantRecord>,
    deciders: &BTreeMap<(u32, u32), AccountId>,
) -> Result<Vec<Step>, CommandError> {
    let unreadable =
        |error| session.cannot_load::<alpha_v1::GrantPermissions>(error, "the history of a permission");
    let revocations = handle.history("revoked").map_err(unreadable)?;
    let mut steps = Vec::new();
    let mut before: Vec<GrantReason> = Vec::new();
    for edit in handle.history("reasons").map_err(unreadable)? {
        // A reason of a kind that a newer Alpha knows is left out.
        let after: Vec<GrantReason> = edit.value.clone().map(parsed).unwrap_or_default();
        let signed_by = edit.edit.by.to_string();
        let step = |action, by, reason: &GrantReason| Step {
            at: edit.edit.at,
            action,
            by,
            reason: reason.clone(),
            signed_by: signed_by.clone(),
        };
        for reason in before.iter().filter(|reason| !after.contains(reason)) {
            let replaced = after.iter().any(|other| is_same_kind(other, reason));
            if !replaced && reason.is_active(edit.edit.at) {
                steps.push(step("revoked", revoked_by(&revocations, &edit), reason));
            }
        }
        for reason in after.iter().filter(|reason| !before.contains(reason)) {
            let by = match &reason.kind {
                GrantKind::Manual { by, .. } | GrantKind::Dynamic { by, .. } => Some(by.clone()),
                GrantKind::Static {
                    replica_id,
                    version_id,
                } => deciders.get(&(*replica_id, *version_id)).cloned(),
            };
            let changed = before.iter().any(|other| is_same_kind(other, reason));
            steps.push(step(if changed { "changed" } else { "granted" }, by, reason));
        }
        before = after;
    }
    steps.extend(ended(&before));
    Ok(steps)
}

/// What has ended by itself and was not taken back since.
fn ended(reasons: &[GrantReason]) -> impl Iterator<Item = Step> {
    let now = Timestamp::now();
    let ended = reasons.iter().filter(move |reason| !reason.is_active(now));
    ended.filter_map(|reason| {
        Some(Step {
            at: reason.expires_at?,
            action: "expired",
            by: None,
            reason: reason.clone(),
            signed_by: String::new(),
        })
    })
}

fn parsed(value: Value) -> Vec<GrantReason> {
    let reasons = value.as_array().cloned().unwrap_or_default();
    reasons
        .into_iter()
        .filter_map(|reason| serde_json::from_value(reason).ok())
        .collect()
}

/// Tells whether one reason takes the place of another.
fn is_same_kind(one: &GrantReason, other: &GrantReason) -> bool {
    std::mem::discriminant(&one.kind) == std::mem::discriminant(&other.kind)
}

/// Who took something back: that is written together with what it leaves.
fn revoked_by(revocations: &[FieldEdit], edit: &FieldEdit) -> Option<AccountId> {
    let written = revocations
        .iter()
        .find(|revocation| revocation.edit.at == edit.edit.at)?;
    let revocation: Revocation = serde_json::from_value(written.value.clone()?).ok()?;
    Some(revocation.by)
}

fn event(names: &AccountNames, grant: &GrantRecord, replica: &str, step: Step) -> Event {
    let why = match &step.reason.kind {
        GrantKind::Static {
            replica_id,
            version_id,
        } => format!("replica {replica_id}, version {version_id}"),
        GrantKind::Manual { .. } => "by hand".to_owned(),
        GrantKind::Dynamic { request_id, .. } => format!("request {request_id}"),
    };
    let by = step.by.map(|by| by.to_string());
    Event {
        at: step.at,
        action: step.action,
        by_name: by.as_deref().map(|by| names.text(by)).unwrap_or_default(),
        by,
        account: names.text(grant.account.as_str()),
        account_id: grant.account.to_string(),
        replica_id: grant.replica_id,
        replica: replica.to_owned(),
        contract: grant.contract.to_string(),
        permission: grant.permission.clone(),
        instance_id: grant.instance_id.clone(),
        why,
        expires_at: step.reason.expires_at,
        signed_by: step.signed_by,
    }
}
