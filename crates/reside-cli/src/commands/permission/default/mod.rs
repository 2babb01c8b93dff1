//! What every user may do.

mod grant;
mod list;
mod revoke;

use clap::{Args, Subcommand};
use reside::Identity;
use serde_json::Value;
use user_manager_v1::{ChangeDefaultPermission, PermissionChanged};

use crate::cli::App;
use crate::cluster::grants::{Change, Changed};
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::json;

/// Grant, list and revoke what every user may do
#[derive(Debug, Subcommand)]
pub enum DefaultCommand {
    List(list::ListArgs),
    Grant(grant::GrantArgs),
    Revoke(revoke::RevokeArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: DefaultCommand) -> Result<(), CommandError> {
    match command {
        DefaultCommand::List(args) => list::run(app, args),
        DefaultCommand::Grant(args) => {
            let expires_at = args.period.end()?;
            change(app, args.permission, Change::Grant { expires_at })
        }
        DefaultCommand::Revoke(args) => change(app, args.permission, Change::Revoke),
    }
}

/// A permission of all users.
#[derive(Args, Debug)]
struct DefaultArgs {
    /// Contract that defines the permission
    #[arg(value_name = "CONTRACT")]
    contract: Identity,

    /// Permission, as `reside contract info` names it
    permission: String,

    /// Params of the permission as a JSON object
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
}

fn change(app: &App, args: DefaultArgs, change: Change) -> Result<(), CommandError> {
    let params = args
        .params
        .as_deref()
        .map(|text| json::object("`--params`", text))
        .transpose()?;
    let params = params.map(Value::Object);
    app.block_on(async {
        let session = Session::open(app).await?;
        let request = ChangeDefaultPermission {
            contract: args.contract.to_string(),
            permission: args.permission.clone(),
            params: params.clone(),
            replica_ids: None,
            expires_at: change.expires_at().map(|end| end.0),
        };
        let users = session.user_manager().await?.client();
        let changed = match change {
            Change::Grant { .. } => users.grant_default_permission(request).await,
            Change::Revoke => users.revoke_default_permission(request).await,
        };
        let PermissionChanged { replica_ids, applied } = changed.map_err(session.users_refused())?;
        let replicas = session.replica_names(&replica_ids).await;
        app.ui.show(&Changed::of_users(
            None,
            &args.contract,
            args.permission,
            params,
            replicas,
            applied,
            change,
        ))
    })
}
