//! `reside permission request …`: permissions that replicas ask for at run time.

mod decide;
mod list;
mod show;

use alpha_v1::{RequestStatus, RequestedPermission};
use clap::Subcommand;
use jazz::Timestamp;

use crate::cli::App;
use crate::error::CommandError;

/// See and decide what replicas ask for at run time
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Approve(decide::ApproveArgs),
    Reject(decide::RejectArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: RequestCommand) -> Result<(), CommandError> {
    match command {
        RequestCommand::List(args) => list::run(app, args),
        RequestCommand::Show(args) => show::run(app, args),
        RequestCommand::Approve(args) => decide::approve(app, args),
        RequestCommand::Reject(args) => decide::reject(app, args),
    }
}

/// A status as it is shown.
fn status_text(request: &RequestedPermission) -> &'static str {
    match request.status {
        RequestStatus::Pending => "pending",
        RequestStatus::Approved if request.is_granted(Timestamp::now()) => "approved",
        RequestStatus::Approved => "expired",
        RequestStatus::Rejected => "rejected",
        RequestStatus::Revoked => "revoked",
    }
}
