//! `reside replica load`

use alpha_v1::{CreateLoadRequest, LoadRequest, LoadRequestStatus, ReplicaId};
use clap::Args;
use reside_image::Reference;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::period::PeriodArgs;
use crate::cluster::rollout::status_text;
use crate::cluster::selector::{Choice, ReplicaSelector};
use crate::cluster::session::Session;
use crate::commands::load_request::show::Shown;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Load a replica from an image, or update one
///
/// Shows what the image is and what it asks for, and loads it if you approve. An exclusive replica that is loaded
/// already is updated. With `--for` or `--until`, the permissions that it asks for end then. Undo with `reside replica rollback` or `reside replica unload`.
#[derive(Args, Debug)]
pub struct LoadArgs {
    /// Image, as `reside build` prints it: IDENTITY, IDENTITY:TAG or IDENTITY@DIGEST
    image: Reference,

    /// Name of the new replica instead of the image's own
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Update this replica instead of adding one
    #[arg(long, value_name = "REPLICA", conflicts_with = "name")]
    replica: Option<ReplicaSelector>,

    /// Choose the replica behind a requirement (can be repeated)
    #[arg(long, value_name = "KEY=REPLICA")]
    with: Vec<Choice>,

    /// Approve without asking
    #[arg(long, short)]
    yes: bool,

    /// Return as soon as it is approved
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    period: PeriodArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands) struct Loaded {
    pub replica_id: ReplicaId,
    pub name: String,
    pub version: u32,
    pub status: Option<&'static str>,
}

impl View for Loaded {
    fn draw(&self) -> Drawing {
        let Self {
            replica_id,
            name,
            version,
            status,
        } = self;
        let status = status.unwrap_or("approved");
        Drawing::Text(format!(
            "{STRONG}{name}{STRONG:#} (replica {replica_id}, version {version}) is {status}"
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: LoadArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let request = request(app, &session, &args).await?;
        if request.status == LoadRequestStatus::RequiresApproval
            && !agreed(app, &session, &request, args.yes).await?
        {
            app.ui
                .say(format_args!("Not loaded; the load request {} waits", request.id));
            app.ui.hint(format_args!(
                "`reside load-request approve {0}` loads it, `reside load-request reject {0}` ends it",
                request.id
            ));
            return Ok(());
        }
        approve(app, &session, request.id, &args.with, &args.period, args.no_wait).await
    })
}

/// Approves a load request and waits for what comes of it.
pub(in crate::commands) async fn approve(
    app: &App,
    session: &Session,
    id: u32,
    with: &[Choice],
    period: &PeriodArgs,
    no_wait: bool,
) -> Result<(), CommandError> {
    let approved = session.approve(id, with, period).await?;
    let (replica_id, version) = (approved.replica_id, approved.version_id);
    let status = match no_wait {
        true => None,
        false => Some(session.started(app, replica_id, version).await?.1),
    };
    app.ui.show(&Loaded {
        replica_id,
        name: approved.name,
        version,
        status: status.map(status_text),
    })
}

async fn request(app: &App, session: &Session, args: &LoadArgs) -> Result<LoadRequest, CommandError> {
    let progress = app.ui.progress(format!("Checking {}", args.image));
    let replica_id = match &args.replica {
        Some(replica) => Some(session.replica(replica).await?.id),
        None => None,
    };
    let request = CreateLoadRequest {
        image: args.image.to_string(),
        replica_id,
        name: args.name.clone(),
        owner_id: None,
    };
    let created = session
        .alpha()
        .create_load_request(request)
        .await
        .map_err(session.alpha_refused())?;
    let request = session.arriving_load_request(created.load_request_id).await?;
    let request = session.validated(&request).await;
    drop(progress);
    request
}

/// Shows what the image asks for, and asks.
async fn agreed(
    app: &App,
    session: &Session,
    request: &LoadRequest,
    yes: bool,
) -> Result<bool, CommandError> {
    if !yes {
        // What the answer depends on is talk, not data.
        app.ui.say(Shown::new(session, request).await.text(app));
    }
    app.ui.confirm("Load it?", yes).map_err(|error| {
        error.help(format!(
            "answer with `--yes`, or with `reside load-request approve {0}` or `reside load-request reject {0}`",
            request.id
        ))
    })
}
