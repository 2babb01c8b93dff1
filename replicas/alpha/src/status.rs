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
    /// A job was given up, an image can't be had, or a process doesn't get ready.
    pub failed: bool,
    /// What is wished for isn't carried out yet: the rest tells of the time before, and a process may come or go.
    pub pending: bool,
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
        let condition = |wanted: &str, state: &str| {
            status["conditions"]
                .as_array()?
                .iter()
                .find(|condition| condition["type"] == wanted && condition["status"] == state)
        };
        let ready = count("readyReplicas") > 0;
        let is_late = |condition: &&Value| condition["reason"] == "ProgressDeadlineExceeded" && !ready;
        let late = condition("Progressing", "False").filter(is_late);
        let failed = condition("Failed", "True").or(late);
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
            ready: ready || (kind == Kind::Job && count("active") > 0 && waiting.is_none()),
            completed: condition("Complete", "True").is_some(),
            restarts,
            problem: waiting
                .clone()
                .filter(|_| late.is_some())
                .or_else(|| failed.and_then(|condition| condition["message"].as_str().map(str::to_owned)))
                .or(waiting),
            failed: failed.is_some() || is_unavailable,
            pending: is_behind(kind, live),
        }
    }

    /// Whether some process of it is there or may come.
    pub fn may_run(&self) -> bool {
        self.processes > 0 || self.pending
    }

    /// Whether it takes calls, and will go on to.
    pub fn serves(&self) -> bool {
        self.ready && !self.pending
    }
}

/// Whether the status tells of an older manifest. Those of jobs don't say, and jobs aren't changed.
fn is_behind(kind: Kind, live: &Value) -> bool {
    let generation = &live["metadata"]["generation"];
    kind != Kind::Job && !generation.is_null() && live["status"]["observedGeneration"] != *generation
}

/// Whether a version takes calls or was meant to when it was last looked at: it has proved that it can.
pub fn has_served(status: VersionStatus) -> bool {
    matches!(
        status,
        VersionStatus::Running | VersionStatus::RunningOutdated | VersionStatus::Degraded
    )
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
    // One that just stopped, and shall run again, isn't what was seen of it.
    let is_ready = observed.serves() || (observed.ready && has_served(before));
    match observed {
        Observed { completed: true, .. } => Status::Completed,
        Observed { failed: true, .. } => Status::Error,
        _ if !wanted && observed.may_run() => Status::Stopping,
        _ if !wanted => Status::Stopped,
        _ if is_ready && current => Status::Running,
        _ if is_ready => Status::RunningOutdated,
        Observed { exists: false, .. } if before == Status::Unknown => Status::Unknown,
        _ if has_served(before) => Status::Degraded,
        Observed { restarts, .. } if *restarts >= RESTARTS_UNTIL_ERROR => Status::Error,
        _ if before == Status::Error && observed.restarts > 0 => Status::Error,
        _ => Status::Starting,
    }
}
