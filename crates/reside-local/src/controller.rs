//! Gives every workload object its task, and keeps what the gateway must know of them.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::logs::Logs;
use crate::manifest::{Checked, Kind};
use crate::runtime::Settings;
use crate::spawn::{Images, Spawner};
use crate::store::{Key, Store};
use crate::workload::{self, Wanted, Wish};

/// What workloads share.
pub(crate) struct Context {
    pub store: Arc<Store>,
    pub logs: Logs,
    pub spawner: Spawner,
    pub images: Arc<dyn Images>,
    pub endpoints: Endpoints,
    pub settings: Settings,
    pub extra_env: BTreeMap<String, String>,
    pub work_folder: PathBuf,
}

impl Context {
    /// The folder a workload's process runs in.
    pub fn work_folder(&self, (kind, name): &Key) -> PathBuf {
        self.work_folder.join(format!("{kind}_{name}"))
    }
}

/// A process that takes calls.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub labels: BTreeMap<String, String>,
    /// Real port by the container's port.
    pub ports: BTreeMap<u16, u16>,
    /// The calls that were passed on to it and that it has not answered yet.
    pub calls: TaskTracker,
}

/// The processes that take calls right now; those that became ready last stand last.
#[derive(Default)]
pub(crate) struct Endpoints(RwLock<Vec<(Key, Endpoint)>>);

impl Endpoints {
    /// Notes that a workload takes calls, or doesn't any more.
    pub fn set(&self, key: &Key, endpoint: Option<Endpoint>) {
        let mut endpoints = self.0.write();
        endpoints.retain(|(known, _)| known != key);
        endpoints.extend(endpoint.map(|endpoint| (key.clone(), endpoint)));
    }

    /// Returns the real port of the newest process with these labels. It counts as being called until the token is
    /// dropped.
    pub fn find(&self, selector: &BTreeMap<String, String>, port: u16) -> Option<(u16, TaskTrackerToken)> {
        let endpoints = self.0.read();
        let is_selected = |endpoint: &Endpoint| {
            selector
                .iter()
                .all(|(key, value)| endpoint.labels.get(key) == Some(value))
        };
        endpoints.iter().rev().find_map(|(_, endpoint)| {
            let port = endpoint.ports.get(&port).filter(|_| is_selected(endpoint))?;
            Some((*port, endpoint.calls.token()))
        })
    }
}

/// The tasks of all workloads.
pub(crate) struct Controller {
    /// `None` once they are to end: what changes from then on starts nothing.
    tasks: Mutex<Option<HashMap<Key, Task>>>,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            tasks: Mutex::new(Some(HashMap::new())),
        }
    }
}

struct Task {
    wish: watch::Sender<Wish>,
    task: JoinHandle<()>,
}

impl Controller {
    /// Makes the tasks agree with the objects.
    pub fn reconcile(&self, context: &Arc<Context>) {
        let mut tasks = self.tasks.lock();
        let Some(tasks) = tasks.as_mut() else { return };
        let objects = context.store.checked(Kind::is_workload);
        for (key, task) in tasks.iter() {
            if !objects.iter().any(|(existing, ..)| existing == key) {
                task.wish.send_if_modified(|wish| wish.take().is_some());
            }
        }
        tasks.retain(|_, task| task.wish.borrow().is_some() || !task.task.is_finished());
        for (key, object, checked) in objects {
            let Checked::Workload(workload) = checked else {
                continue;
            };
            let wanted = Some(Wanted {
                uid: object.uid,
                generation: object.generation,
                workload,
            });
            match tasks.get(&key) {
                // The task of a deleted object of this name still ends its process; its end brings us here again.
                Some(task) if task.wish.borrow().is_none() => {}
                Some(task) => drop(task.wish.send_if_modified(|wish| {
                    let differs = *wish != wanted;
                    if differs {
                        *wish = wanted;
                    }
                    differs
                })),
                None => {
                    let (wish, receiver) = watch::channel(wanted);
                    let (runs, again) = (key.clone(), context.clone());
                    let task = tokio::spawn(async move {
                        workload::run(runs, again.clone(), receiver).await;
                        again.store.nudge();
                    });
                    tasks.insert(key, Task { wish, task });
                }
            }
        }
    }

    /// Ends all processes, for good: those that others depend on last.
    pub async fn stop(&self) {
        let all = self.tasks.lock().take().unwrap_or_default();
        let (last, first): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|((kind, _), _)| *kind == Kind::StatefulSet);
        for group in [first, last] {
            for (_, task) in &group {
                task.wish.send_replace(None);
            }
            for (key, task) in group {
                if task.task.await.is_err() {
                    tracing::error!(name = key.1, "the task of a workload failed");
                }
            }
        }
    }
}
