//! From a load request to a running replica, as the person who asked for it sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use alpha_v1::{
    ApproveLoadRequest, ApprovedLoadRequest, LoadRequest, LoadRequestStatus, ReadReplicas, ReplicaId,
    ReplicaVersion, VersionStatus,
};
use futures::StreamExt;
use jazz::Co;
use tokio::time::timeout;

use super::local::LocalCluster;
use super::period::PeriodArgs;
use super::selector::{Choice, ReplicaSelector};
use super::session::Session;
use crate::cli::App;
use crate::error::CommandError;
use crate::ui::Progress;

/// Fetching and checking an image.
const VALIDATION_TIME: Duration = Duration::from_secs(120);
/// From an approval to a process that is ready; longer than Alpha waits for it.
const START_TIME: Duration = Duration::from_secs(150);
/// How much of its log is shown when a replica does not run.
const LOG_LINES: usize = 10;

impl Session {
    /// Waits until a load request has been checked. One that is invalid is an error.
    pub async fn validated(&self, request: &Co<LoadRequest>) -> Result<LoadRequest, CommandError> {
        let mut changes = request.subscribe();
        let checked = changes.wait_for(|request| request.status != LoadRequestStatus::Validating);
        let id = request.get().map(|request| request.id).unwrap_or_default();
        let request = match timeout(VALIDATION_TIME, checked).await {
            Ok(Some(request)) => request.map_err(|why| {
                CommandError::failed(format!("cannot read the load request {id}")).because(why)
            })?,
            Ok(None) | Err(_) => {
                return Err(CommandError::failed(format!(
                    "Alpha has not finished checking the load request {id}"
                ))
                .help(format!("look again with `reside load-request show {id}`")));
            }
        };
        if request.status == LoadRequestStatus::Invalid {
            let why = request
                .error_message
                .unwrap_or_else(|| "no reason was given".to_owned());
            return Err(CommandError::failed(format!("cannot load {}", request.image)).because(why));
        }
        Ok(request)
    }

    /// Approves a load request.
    pub async fn approve(
        &self,
        id: u32,
        choices: &[Choice],
        period: &PeriodArgs,
    ) -> Result<ApprovedLoadRequest, CommandError> {
        let mut requirement_replica_ids: BTreeMap<String, Vec<ReplicaId>> = BTreeMap::new();
        for choice in choices {
            let replica = match &choice.replica {
                ReplicaSelector::Id(id) => *id,
                name @ ReplicaSelector::Name(_) => self.replica(name).await?.id,
            };
            requirement_replica_ids
                .entry(choice.key.clone())
                .or_default()
                .push(replica);
        }
        let request = ApproveLoadRequest {
            load_request_id: id,
            requirement_replica_ids,
            expires_at: period.end()?,
        };
        self.alpha()
            .approve_load_request(request)
            .await
            .map_err(self.alpha_refused())
    }

    /// Waits until a version runs or has completed. That it can't is an error.
    pub async fn started(
        &self,
        app: &App,
        replica: ReplicaId,
        version: u32,
    ) -> Result<(String, VersionStatus), CommandError> {
        let arrived = self.arriving_version(replica, version).await;
        let (record, version) =
            arrived.map_err(|error| self.cannot_load::<ReadReplicas>(error, "the replicas"))?;
        let name = record.name;
        let progress = app.ui.progress(format!("{name}: waiting"));
        match timeout(START_TIME, settled(&version, &name, &progress)).await {
            Ok(version) => {
                let version = version?;
                drop(progress);
                match version.status {
                    VersionStatus::Running | VersionStatus::Completed => Ok((name, version.status)),
                    _ => Err(self.does_not_run(app, &name, version).await),
                }
            }
            Err(_) => Err(CommandError::failed(format!(
                "`{name}` is not ready after {} seconds",
                START_TIME.as_secs()
            ))
            .help(format!(
                "it may still come; look with `reside replica info {name}`"
            ))),
        }
    }

    async fn does_not_run(&self, app: &App, name: &str, version: ReplicaVersion) -> CommandError {
        let mut why = version
            .error_message
            .unwrap_or_else(|| "its process ended or does not get ready".to_owned());
        let lines = self.last_lines(app, &format!("{name}-{}", version.id)).await;
        if !lines.is_empty() {
            why = format!("{why}; its log ends with\n{}", lines.join("\n"));
        }
        let undo = match version.id {
            1 => format!("`reside replica unload {name}` takes it out"),
            _ => format!("`reside replica rollback {name}` goes back"),
        };
        let status = status_text(version.status);
        CommandError::failed(format!("`{name}` does not run: {status}"))
            .because(why)
            .help(format!(
                "`reside replica logs {name}` shows the whole log, {undo}"
            ))
    }

    /// The end of a workload's log, as far as this machine has it.
    async fn last_lines(&self, app: &App, workload: &str) -> Vec<String> {
        let cluster = LocalCluster::new(app, self.target().cluster.name.as_str());
        match cluster.client().logs(workload, LOG_LINES, false).await {
            Ok(lines) => lines.map(|line| plain(&line.text)).collect().await,
            Err(_) => Vec::new(),
        }
    }
}

/// A line of a log without what would command the terminal.
fn plain(line: &str) -> String {
    line.replace(char::is_control, " ")
}

/// Waits until it is decided whether a version runs.
async fn settled(
    version: &Co<ReplicaVersion>,
    name: &str,
    progress: &Progress,
) -> Result<ReplicaVersion, CommandError> {
    let mut changes = version.subscribe();
    let mut last = None;
    while let Some(change) = changes.next().await {
        let version = change
            .map_err(|why| CommandError::failed(format!("cannot read the state of `{name}`")).because(why))?;
        let is_known = version.status != VersionStatus::Unknown;
        if is_known && last.replace(version.status) != Some(version.status) {
            progress.now(format!("{name}: {}", status_text(version.status)));
        }
        match version.status {
            VersionStatus::Running
            | VersionStatus::Completed
            | VersionStatus::Degraded
            | VersionStatus::Error => return Ok(version),
            _ => {}
        }
    }
    Err(CommandError::failed("the connection to the cluster has ended"))
}

/// A status as it is shown.
pub fn status_text(status: VersionStatus) -> &'static str {
    match status {
        VersionStatus::Unknown => "unknown",
        VersionStatus::Starting => "starting",
        VersionStatus::Running => "running",
        VersionStatus::Degraded => "degraded",
        VersionStatus::RunningOutdated => "running-outdated",
        VersionStatus::Completed => "completed",
        VersionStatus::Stopping => "stopping",
        VersionStatus::Stopped => "stopped",
        VersionStatus::Error => "error",
    }
}
