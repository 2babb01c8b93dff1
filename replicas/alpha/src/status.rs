//! What the live workload says about a version (SYSTEM.md, section 6). Pure.

use alpha_v1::VersionStatus;
use kubernetes_sentinel_v1::Kind;
use serde_json::Value;

/// After so many restarts without ever having been ready, a version counts as failed.
pub const RESTARTS_UNTIL_ERROR: u64 = 5;

/// Reasons for which a process that never was can't be started.
const UNAVAILABLE: [&str; 3] = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

/// A workload as the orchestrator reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The orchestrator has the object.
    pub exists: bool,
    /// Processes that exist, ready or not, stopping ones included.
    pub processes: u32,
    /// It takes calls.
    pub ready: bool,
    /// A job has done its work.
    pub completed: bool,
    /// How often its process was started again.
    pub restarts: u64,
    /// Why it can't run or was given up.
    pub problem: Option<String>,
    /// A job was given up, or its image can't be had.
    pub failed: bool,
}

impl Observed {
    /// Reads the live object of a Deployment or a Job.
    pub fn of(kind: Kind, live: Option<&Value>) -> Self {
        let Some(live) = live else { return Self::default() };
        let status = &live["status"];
        let count = |field: &str| status[field].as_u64().unwrap_or(0);
        let pods = status["pods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let restarts = pods
            .iter()
            .filter_map(|pod| pod["restartCount"].as_u64())
            .max()
            .unwrap_or(0);
        let waiting = pods.iter().find_map(|pod| {
            let reason = pod["waiting"]["reason"].as_str()?;
            Some(match pod["waiting"]["message"].as_str() {
                Some(message) => format!("{reason}: {message}"),
                None => reason.to_owned(),
            })
        });
        let condition = |wanted: &str| {
            status["conditions"]
                .as_array()?
                .iter()
                .find(|condition| condition["type"] == wanted && condition["status"] == "True")
        };
        let failed = condition("Failed");
        // What can't be fetched doesn't get better by itself; it counts as failed until it is there.
        let is_unavailable = waiting
            .as_ref()
            .is_some_and(|problem: &String| UNAVAILABLE.iter().any(|reason| problem.starts_with(reason)));
        let processes = match kind {
            Kind::Job => count("active"),
            _ => count("replicas"),
        };
        Self {
            exists: true,
            processes: u32::try_from(processes).unwrap_or(u32::MAX),
            ready: count("readyReplicas") > 0
                || (kind == Kind::Job && count("active") > 0 && waiting.is_none()),
            completed: condition("Complete").is_some(),
            restarts,
            problem: failed
                .and_then(|condition| condition["message"].as_str().map(str::to_owned))
                .or(waiting),
            failed: failed.is_some() || is_unavailable,
        }
    }

    /// Whether some process of it may still be there.
    pub fn has_process(&self) -> bool {
        self.processes > 0
    }
}

/// Derives the status of a version.
///
/// `wanted`: the rollout wants it to have a process; `current`: it is the replica's current version; `before`: its
/// status so far, which tells a version that was ready from one that never was.
pub fn version_status(
    observed: &Observed,
    wanted: bool,
    current: bool,
    before: VersionStatus,
) -> VersionStatus {
    use VersionStatus as Status;
    let was_ready = matches!(
        before,
        Status::Running | Status::RunningOutdated | Status::Degraded
    );
    match observed {
        Observed { completed: true, .. } => Status::Completed,
        Observed { failed: true, .. } => Status::Error,
        _ if !wanted && observed.has_process() => Status::Stopping,
        _ if !wanted => Status::Stopped,
        Observed { ready: true, .. } if current => Status::Running,
        Observed { ready: true, .. } => Status::RunningOutdated,
        Observed { exists: false, .. } if before == Status::Unknown => Status::Unknown,
        _ if was_ready => Status::Degraded,
        Observed { restarts, .. } if *restarts >= RESTARTS_UNTIL_ERROR => Status::Error,
        _ if before == Status::Error && observed.restarts > 0 => Status::Error,
        _ => Status::Starting,
    }
}
