//! `reside replica disable`, and what it shares with `enable`

use std::time::Duration;

use alpha_v1::{AlphaContract, ManageReplicas, ReadReplicas, ReplicaRecord, VersionStatus};
use clap::Args;
use reside::{Contract, Permission};
use serde::Serialize;
use tokio::time::timeout;

use crate::cli::App;
use crate::cluster::explain;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Longer than a process may take to end before it is killed.
const STOP_TIME: Duration = Duration::from_secs(60);

/// Disable a replica: its process ends, everything else stays
///
/// Undo with `reside replica enable`.
#[derive(Args, Debug)]
pub struct DisableArgs {
    #[command(flatten)]
    switch: SwitchArgs,
}

/// Which replica.
#[derive(Args, Debug)]
pub struct SwitchArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,

    /// Return without waiting for its process
    #[arg(long)]
    no_wait: bool,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It should run.
    On,
    /// It should not.
    Off,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Switched {
    id: u32,
    name: String,
    enabled: bool,
}

impl View for Switched {
    fn draw(&self) -> Drawing {
        let state = if self.enabled { "enabled" } else { "disabled" };
        Drawing::Text(format!("{STRONG}{}{STRONG:#} is {state}", self.name))
    }
}

/// Runs the command.
pub fn run(app: &App, args: DisableArgs) -> Result<(), CommandError> {
    switch(app, &args.switch, Switch::Off)
}

/// Switches a replica on or off, and waits until it is so.
pub fn switch(app: &App, args: &SwitchArgs, to: Switch) -> Result<(), CommandError> {
    let enabled = to == Switch::On;
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        let management = session
            .load::<ReadReplicas, _>("the management block", &record.management)
            .await?;
        management
            .update(|block| block.enabled = enabled)
            .map_err(|error| {
                let what = format!("the management block of `{}`", record.name);
                explain::write(
                    error,
                    &what,
                    &AlphaContract::identity(),
                    ManageReplicas::NAME,
                    session.account(),
                )
            })?;
        session.sync().await?;
        match (args.no_wait, to) {
            (true, _) => {}
            (false, Switch::On) => drop(session.started(app, record.id, record.current_version).await?),
            (false, Switch::Off) => stopped(app, &session, &record).await?,
        }
        app.ui.show(&Switched {
            id: record.id,
            name: record.name,
            enabled,
        })
    })
}

async fn stopped(app: &App, session: &Session, record: &ReplicaRecord) -> Result<(), CommandError> {
    let name = &record.name;
    let _progress = app.ui.progress(format!("{name}: stopping"));
    let version = session.version(record, record.current_version).await;
    let version = version.map_err(|error| session.cannot_load::<ReadReplicas>(error, "the versions"))?;
    let mut changes = version.subscribe();
    let has_ended = |status| matches!(status, VersionStatus::Stopped | VersionStatus::Completed);
    let ended = changes.wait_for(|version| has_ended(version.status));
    match timeout(STOP_TIME, ended).await {
        Ok(Some(Ok(_))) => Ok(()),
        _ => Err(CommandError::failed(format!(
            "`{name}` has not stopped within {} seconds",
            STOP_TIME.as_secs()
        ))
        .help(format!(
            "it is disabled and will stop; look with `reside replica info {name}`"
        ))),
    }
}
