//! `reside permission request approve` and `reject`

use alpha_v1::{ApprovePermissionRequest, RejectPermissionRequest};
use clap::Args;
use serde::Serialize;

use super::show::Shown;
use crate::cli::App;
use crate::cluster::period::{PeriodArgs, local_time};
use crate::cluster::session::Session;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Approve what a replica asks for, also if it was refused before
///
/// With `--for` or `--until` it ends by itself; approving again sets another end. Undo with `reside permission revoke`.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// Number of the request
    id: u32,

    #[command(flatten)]
    period: PeriodArgs,
}

/// Refuse what a replica asks for
///
/// The replica learns of it, and isn't asked about again.
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// Number of the request
    id: u32,

    /// Why; the replica is told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided {
    id: u32,
    status: &'static str,
    permission: String,
    replicas: Vec<String>,
    applied: bool,
    expires_at: Option<String>,
}

impl View for Decided {
    fn draw(&self) -> Drawing {
        let (id, permission) = (self.id, &self.permission);
        if self.status == "rejected" {
            return Drawing::Text(format!(
                "Rejected the permission request {id}: {STRONG}{permission}{STRONG:#}"
            ));
        }
        let until = self
            .expires_at
            .as_ref()
            .map(|end| format!(" until {end}"))
            .unwrap_or_default();
        let note = if self.applied {
            ""
        } else {
            "; not carried out yet, it will be when the replica runs"
        };
        Drawing::Text(format!(
            "Approved the permission request {id}: {STRONG}{permission}{STRONG:#} at {}{until}{note}",
            self.replicas.join(", ")
        ))
    }
}

/// Runs `approve`.
pub fn approve(app: &App, args: ApproveArgs) -> Result<(), CommandError> {
    let expires_at = args.period.end()?;
    let config = Config::load(&app.paths)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let names = session.account_names(&config).await;
        let request = session.permission_request(args.id).await?;
        let permission = request.permission.clone();
        app.ui
            .say(app.ui.drawn(&Shown::new(&session, &names, request).await?));
        let approval = ApprovePermissionRequest {
            request_id: args.id,
            expires_at,
        };
        let approved = session.alpha().approve_permission_request(approval).await;
        let approved = approved.map_err(session.alpha_refused())?;
        let replicas = approved.replica_ids.iter().map(|id| session.replica_name(*id));
        app.ui.show(&Decided {
            id: args.id,
            status: "approved",
            permission,
            replicas: futures::future::join_all(replicas).await,
            applied: approved.applied,
            expires_at: expires_at.map(local_time),
        })
    })
}

/// Runs `reject`.
pub fn reject(app: &App, args: RejectArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let request = session.permission_request(args.id).await?;
        let rejection = RejectPermissionRequest {
            request_id: args.id,
            reason: args.reason,
        };
        session
            .alpha()
            .reject_permission_request(rejection)
            .await
            .map_err(session.alpha_refused())?;
        app.ui.show(&Decided {
            id: args.id,
            status: "rejected",
            permission: request.permission,
            replicas: Vec::new(),
            applied: true,
            expires_at: None,
        })
    })
}
