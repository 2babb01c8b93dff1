//! `reside replica update`

use std::collections::BTreeMap;

use alpha_v1::{CreateLoadRequest, LoadRequest, RejectLoadRequest, ReplicaId};
use clap::Args;
use reside_image::{ImageSource as _, Reference, Sources};
use serde::Serialize;

use crate::cli::App;
use crate::cluster::period::PeriodArgs;
use crate::cluster::records::Replica;
use crate::cluster::rollout::status_text;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::commands::load_request::show::Shown;
use crate::error::CommandError;
use crate::images::open_store;
use crate::ui::{Drawing, Table, View, short_digest};

/// Load what has changed since replicas were loaded
///
/// Looks up anew the tag that each replica was loaded by, shows what the newer images would change, and loads them if you
/// approve. A replica that was loaded by a digest stays, and one that was rolled back isn't given the same image again.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// Replicas, by name or number
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    replicas: Vec<ReplicaSelector>,

    /// All replicas
    #[arg(long)]
    all: bool,

    /// Approve without asking
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    period: PeriodArgs,
}

/// What becomes of each replica.
#[derive(Serialize)]
#[serde(transparent)]
struct Outcomes(Vec<Outcome>);

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    id: ReplicaId,
    name: String,
    image: String,
    current: String,
    newest: Option<String>,
    state: State,
    version: Option<u32>,
    problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    UpToDate,
    Pinned,
    RolledBack,
    Outdated,
    Updated,
    Failed,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::UpToDate => "up to date",
            Self::Pinned => "loaded by its digest, stays",
            Self::RolledBack => "rolled back from the newest image, stays",
            Self::Outdated => "not updated",
            Self::Updated => "updated",
            Self::Failed => "failed",
        }
    }
}

impl View for Outcomes {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["NAME", "IMAGE", "NOW", "NEWEST", "STATE"], "No replicas");
        for row in &self.0 {
            let newest = row.newest.as_deref().map(short_digest).unwrap_or_default();
            let state = match &row.problem {
                Some(problem) => format!("{}: {problem}", row.state.text()),
                None => row.state.text().to_owned(),
            };
            let (name, image) = (row.name.clone(), row.image.clone());
            table.row([name, image, short_digest(&row.current), newest, state]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, args: UpdateArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let images = Sources::new(open_store(app)?);
        let replicas = chosen(&session, &args).await?;
        let mut outcomes = look(&session, &images, replicas).await?;
        let mut requests = Vec::new();
        for outcome in outcomes
            .iter_mut()
            .filter(|outcome| outcome.state == State::Outdated)
        {
            match request(app, &session, outcome).await {
                Ok(request) => requests.push(request),
                Err(error) => outcome.fail(&error),
            }
        }
        if !requests.is_empty() {
            if agreed(app, &session, &requests, args.yes).await? {
                update(app, &session, &requests, &args.period, &mut outcomes).await;
            } else {
                reject(&session, &requests).await?;
            }
        }
        app.ui.show(&Outcomes(outcomes.clone()))?;
        let failed = outcomes
            .iter()
            .filter(|outcome| outcome.state == State::Failed)
            .count();
        match failed {
            0 => Ok(()),
            _ => Err(
                CommandError::failed(format!("{failed} of {} replicas failed", outcomes.len()))
                    .help("`reside replica info NAME` tells more, `reside replica rollback NAME` goes back"),
            ),
        }
    })
}

/// The replicas that are meant. Alpha and the sentinel come last, since all others need them; the seed has done its work.
async fn chosen(session: &Session, args: &UpdateArgs) -> Result<Vec<Replica>, CommandError> {
    let mut chosen = Vec::new();
    if args.all {
        chosen = session.replicas().await?;
        chosen.retain(|replica| replica.record.id != 0);
    }
    for selector in &args.replicas {
        let record = session.replica(selector).await?;
        let complete = session.complete(record).await;
        chosen.push(
            complete.map_err(|error| session.cannot_load::<alpha_v1::ReadReplicas>(error, "the replicas"))?,
        );
    }
    chosen.sort_by_key(|replica| match replica.record.id {
        id @ 0..=2 => (true, u32::MAX - id),
        id => (false, id),
    });
    Ok(chosen)
}

/// Looks up what the replicas were loaded by.
async fn look(
    session: &Session,
    images: &Sources,
    replicas: Vec<Replica>,
) -> Result<Vec<Outcome>, CommandError> {
    let requests: BTreeMap<u32, LoadRequest> = session
        .load_requests()
        .await?
        .into_iter()
        .map(|request| (request.id, request))
        .collect();
    let mut outcomes = Vec::new();
    for replica in replicas {
        let reference = loaded_by(&replica, &requests);
        let mut outcome = Outcome {
            id: replica.record.id,
            name: replica.record.name.clone(),
            image: reference.to_string(),
            current: replica.digest().to_owned(),
            newest: None,
            state: State::Pinned,
            version: None,
            problem: None,
        };
        if reference.digest.is_none() {
            match images.resolve(&reference).await {
                Ok(found) => {
                    let newest = found.digest.to_string();
                    outcome.state = state(session, &replica, &newest).await?;
                    outcome.newest = Some(newest);
                }
                Err(why) => {
                    outcome.state = State::Failed;
                    outcome.problem = Some(why.to_string());
                }
            }
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// What somebody typed to load the current version. The system's replicas come with the program.
fn loaded_by(replica: &Replica, requests: &BTreeMap<u32, LoadRequest>) -> Reference {
    let request = requests.get(&replica.version.load_request_id);
    let typed = request.and_then(|request| request.image.parse().ok());
    let is_system = replica.record.id <= 2;
    typed
        .filter(|_| !is_system)
        .unwrap_or_else(|| Reference::from(replica.record.identity.clone()))
}

async fn state(session: &Session, replica: &Replica, newest: &str) -> Result<State, CommandError> {
    if newest == replica.digest() {
        return Ok(State::UpToDate);
    }
    let versions = session.versions(&replica.record).await;
    let versions =
        versions.map_err(|error| session.cannot_load::<alpha_v1::ReadReplicas>(error, "the versions"))?;
    let was_left = versions
        .iter()
        .any(|version| version.id > replica.version.id && version.image.ends_with(newest));
    Ok(if was_left {
        State::RolledBack
    } else {
        State::Outdated
    })
}

async fn request(app: &App, session: &Session, outcome: &Outcome) -> Result<LoadRequest, CommandError> {
    let _progress = app.ui.progress(format!("Checking {}", outcome.image));
    let asked = CreateLoadRequest {
        image: outcome.image.clone(),
        replica_id: Some(outcome.id),
        name: None,
        owner_id: None,
    };
    let created = session
        .alpha()
        .create_load_request(asked)
        .await
        .map_err(session.alpha_refused())?;
    let request = session.arriving_load_request(created.load_request_id).await?;
    session.validated(&request).await
}

async fn agreed(
    app: &App,
    session: &Session,
    requests: &[LoadRequest],
    yes: bool,
) -> Result<bool, CommandError> {
    for request in requests.iter().filter(|_| !yes) {
        app.ui.say(Shown::new(session, request).await.text(app));
    }
    let question = match requests.len() {
        1 => "Load it?".to_owned(),
        many => format!("Load these {many}?"),
    };
    match app.ui.confirm(&question, yes) {
        Ok(agreed) => Ok(agreed),
        Err(error) => {
            reject(session, requests).await?;
            Err(error)
        }
    }
}

/// Loads one after the other: what one of them breaks isn't spread by the next.
async fn update(
    app: &App,
    session: &Session,
    requests: &[LoadRequest],
    period: &PeriodArgs,
    outcomes: &mut [Outcome],
) {
    for request in requests {
        let updated = async {
            let approved = session.approve(request.id, &[], period).await?;
            let (_, status) = session
                .started(app, approved.replica_id, approved.version_id)
                .await?;
            app.ui
                .say(format_args!("{} is {}", approved.name, status_text(status)));
            Ok(approved)
        };
        let updated: Result<_, CommandError> = updated.await;
        for outcome in outcomes
            .iter_mut()
            .filter(|outcome| Some(outcome.id) == request.replica_id)
        {
            match &updated {
                Ok(approved) => {
                    outcome.state = State::Updated;
                    outcome.version = Some(approved.version_id);
                }
                Err(error) => outcome.fail(error),
            }
        }
    }
}

impl Outcome {
    fn fail(&mut self, error: &CommandError) {
        self.state = State::Failed;
        let why = error.why().map(|why| format!(": {why}")).unwrap_or_default();
        self.problem = Some(format!("{error}{why}"));
    }
}

async fn reject(session: &Session, requests: &[LoadRequest]) -> Result<(), CommandError> {
    for request in requests {
        let rejection = RejectLoadRequest {
            load_request_id: request.id,
            reason: Some("the update was not wanted".to_owned()),
        };
        session
            .alpha()
            .reject_load_request(rejection)
            .await
            .map_err(session.alpha_refused())?;
    }
    Ok(())
}
