//! What `permission grant` and `permission revoke` have in common.

use alpha_v1::{ChangePermission, GrantPermission, PermissionChange};
use clap::Args;
use jazz::{AccountId, Timestamp};
use reside::Identity;
use serde::Serialize;
use serde_json::Value;
use user_manager_v1::{ChangeUserPermission, PermissionChanged};

use super::period::local_time;
use super::selector::ReplicaSelector;
use super::session::Session;
use super::target;
use crate::cli::App;
use crate::config::Config;
use crate::error::CommandError;
use crate::json;
use crate::ui::{Drawing, STRONG, View};

/// A permission and whose it is or will be.
#[derive(Args, Debug)]
pub struct PermissionArgs {
    /// Contract that defines the permission
    #[arg(value_name = "CONTRACT")]
    contract: Identity,

    /// Permission, as `reside contract info` names it
    permission: String,

    #[command(flatten)]
    holder: HolderArgs,

    /// Params of the permission as a JSON object
    #[arg(long, value_name = "JSON")]
    params: Option<String>,

    /// Only at this replica instead of all that implement the contract (can be repeated)
    #[arg(long = "replica", value_name = "REPLICA")]
    replicas: Vec<ReplicaSelector>,
}

/// Whose permission it is or will be.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct HolderArgs {
    /// Account: one of yours by name, or any by its id
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// User, by its number. Replicas that are loaded later count too
    #[arg(long, value_name = "USER")]
    user: Option<u32>,
}

/// What became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u32>,
    contract: String,
    permission: String,
    params: Option<Value>,
    replicas: Vec<String>,
    expires_at: Option<Timestamp>,
    applied: bool,
    still_granted_at: Vec<String>,
    #[serde(skip)]
    done: &'static str,
}

impl View for Changed {
    fn draw(&self) -> Drawing {
        let note = if self.applied {
            ""
        } else {
            "; not carried out yet, it will be when the replica runs"
        };
        let still = match &self.still_granted_at[..] {
            [] => String::new(),
            replicas => format!(
                "; it stays granted at {}, because a version asks for it",
                replicas.join(", ")
            ),
        };
        let until = self.expires_at.map(local_time).map(|end| format!(" until {end}"));
        let until = until.unwrap_or_default();
        let at = match self.replicas.as_slice() {
            [] => "; no replica implements the contract yet".to_owned(),
            replicas => format!(" at {}", replicas.join(", ")),
        };
        Drawing::Text(format!(
            "{} {STRONG}{}{STRONG:#}{at}{until}{note}{still}",
            self.done, self.permission
        ))
    }
}

/// Which way.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Give it, perhaps until a time.
    Grant {
        /// From then on it counts as revoked.
        expires_at: Option<Timestamp>,
    },
    /// Take it away.
    Revoke,
}

impl Change {
    /// When it ends by itself.
    pub fn expires_at(self) -> Option<Timestamp> {
        match self {
            Self::Grant { expires_at } => expires_at,
            Self::Revoke => None,
        }
    }
}

/// Changes a permission.
pub fn change(app: &App, args: PermissionArgs, change: Change) -> Result<(), CommandError> {
    let params = args
        .params
        .as_deref()
        .map(|text| json::object("`--params`", text))
        .transpose()?
        .map(Value::Object);
    let Some(account) = args.holder.account.clone() else {
        return app.block_on(change_of_user(app, args, params, change));
    };
    let config = Config::load(&app.paths)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let account = session.account_names(&config).await.find(&config, &account)?;
        let replica_ids = replica_ids(&session, &args.replicas).await?;
        let (account_id, contract) = (account.to_string(), args.contract.to_string());
        let (permission, alpha) = (args.permission.clone(), session.alpha());
        let (done, expires_at, changed) = match change {
            Change::Grant { expires_at } => {
                let request = GrantPermission {
                    account_id,
                    contract,
                    permission,
                    params: params.clone(),
                    replica_ids,
                    expires_at,
                };
                ("Granted", expires_at, alpha.grant_permission(request).await)
            }
            Change::Revoke => {
                let request = ChangePermission {
                    account_id,
                    contract,
                    permission,
                    params: params.clone(),
                    replica_ids,
                };
                ("Revoked", None, alpha.revoke_permission(request).await)
            }
        };
        let PermissionChange {
            replica_ids,
            applied,
            still_granted_at,
        } = changed.map_err(session.alpha_refused())?;
        let still_granted_at = session.replica_names(&still_granted_at).await;
        let replicas = session.replica_names(&replica_ids).await;
        app.ui.show(&Changed {
            account_id: Some(account.to_string()),
            user_id: None,
            contract: args.contract.to_string(),
            permission: args.permission,
            params,
            replicas,
            expires_at,
            applied,
            still_granted_at,
            done,
        })
    })
}

/// Changes a permission of a user.
async fn change_of_user(
    app: &App,
    args: PermissionArgs,
    params: Option<Value>,
    change: Change,
) -> Result<(), CommandError> {
    let session = Session::open(app).await?;
    let replica_ids = replica_ids(&session, &args.replicas).await?;
    let user_id = args.holder.user.unwrap_or_default();
    let expires_at = change.expires_at();
    let request = ChangeUserPermission {
        user_id,
        contract: args.contract.to_string(),
        permission: args.permission.clone(),
        params: params.clone(),
        replica_ids,
        expires_at: expires_at.map(|end| end.0),
    };
    let users = session.user_manager().await?.client();
    let changed = match change {
        Change::Grant { .. } => users.grant_permission(request).await,
        Change::Revoke => users.revoke_permission(request).await,
    };
    let PermissionChanged { replica_ids, applied } = changed.map_err(session.users_refused())?;
    let replicas = session.replica_names(&replica_ids).await;
    app.ui.show(&Changed::of_users(
        Some(user_id),
        &args.contract,
        args.permission,
        params,
        replicas,
        applied,
        change,
    ))
}

impl Changed {
    /// A permission of a user, or of all of them.
    pub fn of_users(
        user_id: Option<u32>,
        contract: &Identity,
        permission: String,
        params: Option<Value>,
        replicas: Vec<String>,
        applied: bool,
        change: Change,
    ) -> Self {
        Self {
            account_id: None,
            user_id,
            contract: contract.to_string(),
            permission,
            params,
            replicas,
            expires_at: change.expires_at(),
            applied,
            still_granted_at: Vec::new(),
            done: match change {
                Change::Grant { .. } => "Granted",
                Change::Revoke => "Revoked",
            },
        }
    }
}

async fn replica_ids(
    session: &Session,
    replicas: &[ReplicaSelector],
) -> Result<Option<Vec<u32>>, CommandError> {
    let mut ids = Vec::with_capacity(replicas.len());
    for replica in replicas {
        ids.push(session.replica(replica).await?.id);
    }
    Ok(if ids.is_empty() { None } else { Some(ids) })
}

/// Finds the id of an account that was given by its name or by its id.
pub fn account_id(config: &Config, text: &str) -> Result<AccountId, CommandError> {
    if let Some(account) = config.account(text) {
        return Ok(account.account_id.clone());
    }
    text.parse().map_err(|_| {
        target::unknown_account(config, text)
            .help("name one of your accounts, or give the id of any: `co_z…`")
    })
}
