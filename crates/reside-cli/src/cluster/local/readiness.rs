//! When a cluster is ready: its sync server, Alpha and the sentinel take calls, and the Seed has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use reside_image::ResolvedImage;
use reside_local::{Kind, ObjectEvent, RuntimeClient};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::CommandError;

/// From a started runtime to a ready cluster.
const READY_TIME: Duration = Duration::from_secs(60);
/// The label by which Alpha marks the objects of a replica.
const REPLICA: &str = "reside.io/replica";

/// The objects of a runtime that are or run something, by what they are.
#[derive(Debug, Default)]
pub struct Workloads(BTreeMap<(String, String), Value>);

impl Workloads {
    /// Takes a change in; tells whether it concerned a workload.
    pub fn take(&mut self, event: ObjectEvent) -> bool {
        let is_workload = |kind: &Kind| matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::Job);
        match event {
            ObjectEvent::Live { kind, name, live } if is_workload(&kind) => {
                self.0.insert((kind.to_string(), name), live);
                true
            }
            ObjectEvent::Gone { kind, name } => self.0.remove(&(kind.to_string(), name)).is_some(),
            _ => false,
        }
    }

    /// Names and states, as text.
    pub fn states(&self) -> impl Iterator<Item = (&str, String)> {
        self.0
            .iter()
            .map(|((_, name), live)| (name.as_str(), state(live)))
    }

    /// The images of replicas that stay, as far as they should have a process.
    pub fn replica_images(&self) -> impl Iterator<Item = ResolvedImage> {
        let wanted = self.0.iter().filter(|((kind, _), live)| {
            *kind == Kind::Deployment.to_string()
                && live["metadata"]["labels"][REPLICA].is_string()
                && live["spec"]["replicas"] != 0
        });
        wanted.filter_map(|(_, live)| {
            let image = &live["spec"]["template"]["spec"]["containers"][0]["image"];
            image.as_str()?.parse().ok()
        })
    }

    /// What is not ready yet of what a cluster can't do without.
    fn missing(&self, wanted: &[Part]) -> Vec<String> {
        let is_ready = |part: &Part| {
            let fits = |(key, live): (&(String, String), &Value)| part.fits(key, live) && is_ready(live);
            self.0.iter().any(fits)
        };
        wanted
            .iter()
            .filter(|part| !is_ready(part))
            .map(|part| self.describe(part))
            .collect()
    }

    fn describe(&self, part: &Part) -> String {
        let found = self.0.iter().find(|(key, live)| part.fits(key, live));
        let state = found.map_or_else(|| "not there".to_owned(), |(_, live)| state(live));
        format!("{} is {state}", part.name())
    }
}

/// Something that a cluster can't do without.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// An object by its name.
    Object(&'static str),
    /// A replica, whichever version.
    Replica(&'static str),
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Object(name) | Self::Replica(name) => name,
        }
    }

    fn fits(self, (_, name): &(String, String), live: &Value) -> bool {
        match self {
            Self::Object(object) => name == object,
            Self::Replica(replica) => live["metadata"]["labels"][REPLICA] == replica,
        }
    }
}

/// Ready, or done.
fn is_ready(live: &Value) -> bool {
    let status = &live["status"];
    let is_complete = |condition: &Value| condition["type"] == "Complete" && condition["status"] == "True";
    status["readyReplicas"].as_u64().is_some_and(|ready| ready > 0)
        || status["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(is_complete))
}

fn state(live: &Value) -> String {
    let status = &live["status"];
    let waiting = &status["pods"][0]["waiting"];
    let ended = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["status"] == "True");
    if let Some(message) = waiting["message"].as_str() {
        format!("waiting ({message})")
    } else if let Some(ended) = ended.filter(|ended| ended["type"] == "Failed") {
        format!("failed ({})", ended["message"].as_str().unwrap_or_default())
    } else if ended.is_some_and(|ended| ended["type"] == "Complete") {
        "completed".to_owned()
    } else if is_ready(live) {
        "running".to_owned()
    } else if live["spec"]["replicas"] == 0 {
        "stopped".to_owned()
    } else {
        "starting".to_owned()
    }
}

/// Waits until all parts are ready.
pub async fn wait(runtime: &RuntimeClient, parts: &[Part]) -> Result<(), CommandError> {
    let failed = |why: String| CommandError::failed("the cluster does not get ready").because(why);
    let mut events = runtime.watch().await.map_err(|why| failed(why.to_string()))?;
    let mut workloads = Workloads::default();
    let all_ready = async {
        while let Some(event) = events.next().await {
            workloads.take(event);
            if workloads.missing(parts).is_empty() {
                return true;
            }
        }
        false
    };
    match timeout(READY_TIME, all_ready).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(failed("the runtime has ended".to_owned())),
        Err(_) => Err(failed(format!(
            "after {} seconds {}",
            READY_TIME.as_secs(),
            workloads.missing(parts).join(", ")
        ))),
    }
}
