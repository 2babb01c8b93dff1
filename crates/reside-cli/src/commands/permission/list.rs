//! `reside permission list`

use alpha_v1::{GrantKind, GrantPermissions, GrantReason, GrantRecord};
use clap::Args;
use futures::future::join_all;
use jazz::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::App;
use crate::cluster::grants;
use crate::cluster::period::local_time;
use crate::cluster::records::load_all;
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List what accounts may do
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only of this account: one of yours by name, or any by its id
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
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
    reasons: Vec<GrantReason>,
}

impl View for Grants {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            ["ACCOUNT", "REPLICA", "CONTRACT", "PERMISSION", "INSTANCE", "WHY"],
            "No permissions",
        );
        for row in &self.0 {
            let account = row.account.clone().unwrap_or_else(|| row.account_id.clone());
            let why: Vec<_> = row.reasons.iter().map(reason).collect();
            let instance = row.instance_id.clone().unwrap_or_default();
            let (contract, permission) = (row.contract.clone(), row.permission.clone());
            table.row([
                account,
                row.replica.clone(),
                contract,
                permission,
                instance,
                why.join(", "),
            ]);
        }
        Drawing::Table(table)
    }
}

fn reason(reason: &GrantReason) -> String {
    let why = match &reason.kind {
        GrantKind::Static {
            replica_id,
            version_id,
        } => {
            format!("asked for by replica {replica_id}, version {version_id}")
        }
        GrantKind::Manual { .. } => "granted by hand".to_owned(),
    };
    match reason.expires_at {
        None => why,
        Some(end) if reason.is_active(Timestamp::now()) => format!("{why}, until {}", local_time(end)),
        Some(end) => format!("{why}, expired {}", local_time(end)),
    }
}

/// Runs the command.
pub fn run(app: &App, args: ListArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    let account = args
        .account
        .as_deref()
        .map(|account| grants::account_id(&config, account))
        .transpose()?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let what = "the permissions";
        let record = session
            .load::<GrantPermissions, _>(what, &session.alpha_data()?.grants)
            .await?;
        let all = load_all(session.node(), &record).await;
        let all = all.map_err(|error| session.cannot_load::<GrantPermissions>(error, what))?;
        let wanted = |grant: &GrantRecord| {
            !grant.reasons.is_empty() && account.as_ref().is_none_or(|account| *account == grant.account)
        };
        let rows = all
            .into_iter()
            .filter(wanted)
            .map(|grant| row(&config, &session, grant));
        let mut rows = join_all(rows).await;
        rows.sort_by(|a, b| {
            let key = |row: &Row| {
                (
                    row.account_id.clone(),
                    row.replica_id,
                    row.contract.clone(),
                    row.permission.clone(),
                    row.instance_id.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        app.ui.show(&Grants(rows))
    })
}

async fn row(config: &Config, session: &Session, grant: GrantRecord) -> Row {
    let own = config
        .accounts
        .iter()
        .find(|account| account.account_id == grant.account);
    Row {
        account_id: grant.account.to_string(),
        account: own.map(|account| account.name.to_string()),
        replica_id: grant.replica_id,
        replica: session.replica_name(grant.replica_id).await,
        contract: grant.contract.to_string(),
        permission: grant.permission,
        instance_id: grant.instance_id,
        params: grant.params,
        reasons: grant.reasons,
    }
}
