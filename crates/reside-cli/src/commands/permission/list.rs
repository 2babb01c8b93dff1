//! `reside permission list`

use std::collections::HashMap;

use alpha_v1::{GrantReason, GrantRecord, PermissionSource, PermissionState};
use clap::Args;
use jazz::Timestamp;
use reside::HandlerFailure;
use serde::Serialize;
use serde_json::{Map, Value};

use super::reason::{problem_text, reason_text};
use crate::cli::App;
use crate::cluster::period::local_time;
use crate::cluster::permissions::{AccountNames, FilterArgs};
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List what accounts may do, why, and what hinders it
///
/// What has ended by itself stays in the list as expired until it is revoked or granted anew.
#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Grants(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    account_id: String,
    account: Option<String>,
    replica_id: u32,
    replica: String,
    contract: String,
    permission: String,
    instance_id: Option<String>,
    params: Map<String, Value>,
    state: &'static str,
    expires_at: Option<Timestamp>,
    failure: Option<HandlerFailure>,
    reasons: Vec<GrantReason>,
    #[serde(skip)]
    why: String,
}

impl View for Grants {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            [
                "ACCOUNT",
                "REPLICA",
                "CONTRACT",
                "PERMISSION",
                "INSTANCE",
                "STATE",
                "WHY",
            ],
            "No permissions",
        );
        for row in &self.0 {
            let account = row.account.clone().unwrap_or_else(|| row.account_id.clone());
            let instance = row.instance_id.clone().unwrap_or_default();
            let (contract, permission) = (row.contract.clone(), row.permission.clone());
            let (state, why) = (row.state.to_owned(), row.why.clone());
            table.row([
                account,
                row.replica.clone(),
                contract,
                permission,
                instance,
                state,
                why,
            ]);
        }
        Drawing::Table(table)
    }
}

type Key = (u32, String, String, String, Option<String>);

/// Runs the command.
pub fn run(app: &App, args: ListArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let names = session.account_names(&config).await;
        let filter = args.filter.resolve(&session, &config, &names).await?;
        // Those of all users are too many: without an account, only what is not carried out of them.
        let only_pending = filter.account.is_none();
        let states = session.permission_states(&filter, None, only_pending).await?;
        let (of_users, of_alpha): (Vec<_>, Vec<_>) = states
            .into_iter()
            .partition(|state| state.source == PermissionSource::UserManager);
        let pending = of_alpha.into_iter().filter(|state| !state.carried_out);
        let mut pending: HashMap<Key, PermissionState> =
            pending.map(|state| (key_of_state(&state), state)).collect();
        let mut rows = Vec::new();
        for grant in session.grants().await? {
            let grant = session.grant(&grant)?;
            if !filter.means(&grant) {
                continue;
            }
            let state = pending.remove(&key_of_grant(&grant));
            // A revocation that hangs is of interest, one that is done isn't.
            if !grant.reasons.is_empty() || state.is_some() {
                rows.push(row(&names, &session, grant, state).await);
            }
        }
        for state in of_users
            .into_iter()
            .filter(|state| state.granted || !state.carried_out)
        {
            rows.extend(user_row(&names, &session, state).await);
        }
        rows.sort_by(|a, b| key_of_row(a).cmp(&key_of_row(b)));
        app.ui.show(&Grants(rows))
    })
}

fn key_of_grant(grant: &GrantRecord) -> Key {
    let (account, contract) = (grant.account.to_string(), grant.contract.to_string());
    (
        grant.replica_id,
        account,
        contract,
        grant.permission.clone(),
        grant.instance_id.clone(),
    )
}

fn key_of_state(state: &PermissionState) -> Key {
    let (account, contract) = (state.account_id.clone(), state.contract.clone());
    (
        state.replica_id,
        account,
        contract,
        state.permission.clone(),
        state.instance_id.clone(),
    )
}

fn key_of_row(row: &Row) -> (&str, u32, &str, &str, Option<&str>) {
    let instance = row.instance_id.as_deref();
    (
        &row.account_id,
        row.replica_id,
        &row.contract,
        &row.permission,
        instance,
    )
}

async fn row(
    names: &AccountNames,
    session: &Session,
    grant: GrantRecord,
    state: Option<PermissionState>,
) -> Row {
    let now = Timestamp::now();
    let mut why = Vec::new();
    for reason in &grant.reasons {
        why.push(reason_text(session, names, reason).await);
    }
    why.extend(state.as_ref().map(problem_text));
    let expected = grant.expected(now);
    let is_wanted = expected.is_granted(now);
    Row {
        state: match (&state, is_wanted) {
            (None, true) => "granted",
            (None, false) => "expired",
            (Some(state), _) if state.failure.is_some() => "failing",
            (Some(_), _) => "pending",
        },
        account: name_of(names, &grant.account),
        account_id: grant.account.to_string(),
        replica_id: grant.replica_id,
        replica: session.replica_name(grant.replica_id).await,
        contract: grant.contract.to_string(),
        permission: grant.permission,
        instance_id: grant.instance_id,
        params: expected.params,
        expires_at: expected.expires_at,
        failure: state.and_then(|state| state.failure),
        reasons: grant.reasons,
        why: why.join("; "),
    }
}

/// What the user manager grants to a user; `why` tells by which set.
async fn user_row(names: &AccountNames, session: &Session, state: PermissionState) -> Option<Row> {
    let until = state.expires_at.map(|end| format!(", until {}", local_time(end)));
    let problem = (!state.carried_out).then(|| format!("; {}", problem_text(&state)));
    Some(Row {
        state: match &state.failure {
            Some(_) => "failing",
            None if state.carried_out => "granted",
            None => "pending",
        },
        account: name_of(names, &state.account_id.parse().ok()?),
        replica: session.replica_name(state.replica_id).await,
        why: format!(
            "by the user manager{}{}",
            until.unwrap_or_default(),
            problem.unwrap_or_default()
        ),
        account_id: state.account_id,
        replica_id: state.replica_id,
        contract: state.contract,
        permission: state.permission,
        instance_id: state.instance_id,
        params: state.params,
        expires_at: state.expires_at,
        failure: state.failure,
        reasons: Vec::new(),
    })
}

fn name_of(names: &AccountNames, account: &jazz::AccountId) -> Option<String> {
    let name = names.text(account.as_str());
    (name != account.as_str()).then_some(name)
}
