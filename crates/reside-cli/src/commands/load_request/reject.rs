//! `reside load-request reject`

use alpha_v1::RejectLoadRequest;
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, View};

/// Reject a load request
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// Number of the load request
    id: u32,

    /// Why; whoever asked can read it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    id: u32,
    status: &'static str,
}

impl View for Rejected {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!("Rejected the load request {}", self.id))
    }
}

/// Runs the command.
pub fn run(app: &App, args: RejectArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let request = RejectLoadRequest {
            load_request_id: args.id,
            reason: args.reason,
        };
        session
            .alpha()
            .reject_load_request(request)
            .await
            .map_err(session.alpha_refused())?;
        app.ui.show(&Rejected {
            id: args.id,
            status: "rejected",
        })
    })
}
