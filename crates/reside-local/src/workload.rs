//! One workload: a task that makes its process be as wished and reports what it sees. A crash is followed by a growing
//! wait, as in Kubernetes; a job ends for good.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::controller::{Context, Endpoint};
use crate::manifest::{Container, EnvVar, Kind, ValueFrom, Workload};
use crate::probe;
use crate::spawn::{Start, group_of, kill_rest, signal};
use crate::store::Key;

/// A call that was passed on to a process so long ago has arrived there: the process finishes it before it ends.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What a workload should be. `None`: gone.
pub(crate) type Wish = Option<Wanted>;

/// What a workload should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub uid: String,
    pub generation: u64,
    pub workload: Workload,
}

impl Wanted {
    /// Whether the same process fulfils both.
    fn is_same(&self, other: &Self) -> bool {
        self.uid == other.uid
            && self.workload.scale == other.workload.scale
            && self.workload.pod == other.workload.pod
    }
}

/// Why a process isn't running although it should.
#[derive(Clone, Debug)]
struct Waiting {
    reason: &'static str,
    message: String,
}

/// How a process ended.
enum End {
    /// By itself.
    Exited { success: bool, description: String },
    /// Because the wish changed.
    Stopped,
}

/// The task's state.
struct Runner {
    key: Key,
    context: Arc<Context>,
    wish: watch::Receiver<Wish>,
    restarts: u32,
    /// Crashes in a row without a long good time in between.
    crashes: u32,
    /// When it began to do what is wished for now.
    begun: Option<Instant>,
    /// Whether it has been ready since.
    was_ready: AtomicBool,
}

/// Runs a workload until it is wished away.
pub(crate) async fn run(key: Key, context: Arc<Context>, wish: watch::Receiver<Wish>) {
    let mut runner = Runner {
        key,
        context,
        wish,
        restarts: 0,
        crashes: 0,
        begun: None,
        was_ready: AtomicBool::new(false),
    };
    loop {
        let wanted = runner.wish.borrow_and_update().clone();
        let Some(wanted) = wanted else { return };
        if wanted.workload.scale == 0 || runner.is_done(&wanted) {
            if wanted.workload.scale == 0 {
                runner.report(&wanted, 0, false, None);
            }
            if runner.wish.changed().await.is_err() {
                return;
            }
            (runner.restarts, runner.crashes) = (0, 0);
            runner.begin();
            continue;
        }
        runner.run_once(&wanted).await;
    }
}

impl Runner {
    fn is_job(&self) -> bool {
        self.key.0 == Kind::Job
    }

    /// Something else is wished for: what came of the last wish says nothing about it.
    fn begin(&mut self) {
        self.begun = None;
        *self.was_ready.get_mut() = false;
    }

    /// Whether a job has succeeded or was given up.
    fn is_done(&self, wanted: &Wanted) -> bool {
        let finished = |status: &Value| {
            let conditions = status["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|one| one["status"] == "True"))
        };
        self.is_job()
            && self.context.store.get(&self.key).is_some_and(|(object, _)| {
                object.uid == wanted.uid
                    && object.status["observedGeneration"] == json!(wanted.generation)
                    && finished(&object.status)
            })
    }

    /// Runs the process once, and waits afterwards if it must.
    async fn run_once(&mut self, wanted: &Wanted) {
        let started = Instant::now();
        self.begun.get_or_insert(started);
        match self.start(wanted).await {
            Err(waiting) => self.wait(wanted, waiting).await,
            Ok((child, ports)) => match self.supervise(wanted, child, ports).await {
                End::Stopped => {
                    self.crashes = 0;
                    self.begin();
                }
                End::Exited { success: true, .. } if self.is_job() => self.finish(wanted, None),
                End::Exited { description, .. } => {
                    if started.elapsed() >= self.context.settings.healthy_after {
                        self.crashes = 0;
                    }
                    self.restarts += 1;
                    self.context
                        .logs
                        .note(&self.key.1, &format!("[reside] the process ended: {description}"));
                    if self.is_job() && self.restarts > wanted.workload.backoff_limit {
                        self.finish(
                            wanted,
                            Some(format!("failed {} times, last: {description}", self.restarts)),
                        );
                    } else {
                        self.wait(
                            wanted,
                            Waiting {
                                reason: "CrashLoopBackOff",
                                message: description,
                            },
                        )
                        .await;
                    }
                }
            },
        }
    }

    /// Waits before the next attempt, or until the wish changes.
    async fn wait(&mut self, wanted: &Wanted, waiting: Waiting) {
        let settings = &self.context.settings;
        let delay = match self.crashes {
            // As in Kubernetes, the first restart comes at once.
            0 if waiting.reason == "CrashLoopBackOff" => Duration::ZERO,
            crashes => (settings.backoff_base * 2u32.saturating_pow(crashes.saturating_sub(1)))
                .min(settings.backoff_max),
        };
        self.crashes += 1;
        self.report(wanted, 0, false, Some(&waiting));
        tokio::select! {
            () = sleep(delay) => {}
            _ = self.wish.changed() => {
                self.wish.mark_changed();
                self.begin();
            }
        }
    }

    async fn start(&self, wanted: &Wanted) -> Result<(Child, BTreeMap<u16, u16>), Waiting> {
        let waiting = |reason| move |message: String| Waiting { reason, message };
        let container = &wanted.workload.pod.spec.containers[0];
        let ports = assign_ports(container).map_err(waiting("CreateContainerConfigError"))?;
        let mut env = self
            .environment(container)
            .map_err(waiting("CreateContainerConfigError"))?;
        let images = self.context.images.clone();
        let image = container.image.clone();
        let program = tokio::task::spawn_blocking(move || images.unpack(&image))
            .await
            .map_err(|error| error.to_string())
            .and_then(|program| program)
            .map_err(waiting("ErrImagePull"))?;
        for (name, value) in program.env.iter().chain(&self.context.extra_env) {
            env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if let Some(port) = container
            .ports
            .first()
            .and_then(|port| ports.get(&port.container_port))
        {
            // Calls come through the gateway, which is on this machine.
            env.insert("RESIDE_LISTEN_HOST".to_owned(), Ipv4Addr::LOCALHOST.to_string());
            env.insert("RESIDE_LISTEN_PORT".to_owned(), port.to_string());
        }
        let mut argv = container.command.clone().unwrap_or_else(|| program.argv.clone());
        argv.extend(container.args.clone().unwrap_or_default());
        let start = Start {
            argv,
            env,
            folder: self.context.work_folder(&self.key),
        };
        let mut child = self
            .context
            .spawner
            .spawn(&self.record_name(), start)
            .await
            .map_err(|error| Waiting {
                reason: "CreateContainerError",
                message: error.to_string(),
            })?;
        if let Some(stdout) = child.stdout.take() {
            self.context.logs.capture(&self.key.1, stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            self.context.logs.capture(&self.key.1, stderr);
        }
        Ok((child, ports))
    }

    fn record_name(&self) -> String {
        format!("{}_{}", self.key.0, self.key.1)
    }

    fn environment(&self, container: &Container) -> Result<BTreeMap<String, String>, String> {
        let value = |variable: &EnvVar| match (&variable.value, &variable.value_from) {
            (Some(value), None) => Ok(value.clone()),
            (None, Some(from)) => {
                let (kind, reference) = match from {
                    ValueFrom::SecretKeyRef(reference) => (Kind::Secret, reference),
                    ValueFrom::ConfigMapKeyRef(reference) => (Kind::ConfigMap, reference),
                };
                let found = self.context.store.value(kind, &reference.name, &reference.key);
                found.ok_or_else(|| format!("{kind} {:?} has no key {:?}", reference.name, reference.key))
            }
            (None, None) => Ok(String::new()),
            (Some(_), Some(_)) => Err(format!("`{}` has both `value` and `valueFrom`", variable.name)),
        };
        container
            .env
            .iter()
            .map(|variable| Ok((variable.name.clone(), value(variable)?)))
            .collect()
    }

    /// Watches a process until it ends, by itself or because it is no longer wished for.
    async fn supervise(&mut self, wanted: &Wanted, mut child: Child, ports: BTreeMap<u16, u16>) -> End {
        let container = wanted.workload.pod.spec.containers[0].clone();
        let calls = TaskTracker::new();
        let endpoint = Endpoint {
            labels: wanted.workload.pod.metadata.labels.clone(),
            ports: ports.clone(),
            calls: calls.clone(),
        };
        let group = group_of(&child);
        self.report(wanted, 1, false, None);
        let end = {
            let is_ready = AtomicBool::new(false);
            let report = |ready: bool| {
                is_ready.store(ready, Ordering::Relaxed);
                self.was_ready.fetch_or(ready, Ordering::Relaxed);
                self.context
                    .endpoints
                    .set(&self.key, ready.then(|| endpoint.clone()));
                self.report(wanted, 1, ready, None);
            };
            let report_again = || self.report(wanted, 1, is_ready.load(Ordering::Relaxed), None);
            let translate = |port: u16| ports.get(&port).copied().unwrap_or(port);
            let probing = probe::watch(container.readiness_probe.clone(), translate, report);
            let mut wish = self.wish.clone();
            let changed = async {
                while wish.changed().await.is_ok() {
                    let is_same = wish.borrow().as_ref().is_some_and(|wish| wanted.is_same(wish));
                    if !is_same {
                        return;
                    }
                    // Only other fields of the object have changed, which is no reason to stop.
                    report_again();
                }
            };
            let may_be_late = container.readiness_probe.is_some() && !self.is_job();
            let late = async {
                if may_be_late {
                    sleep_until(self.deadline(wanted)).await;
                    report_again();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                status = child.wait() => Some(status),
                () = changed => None,
                () = probing => None,
                () = late => None,
            }
        };
        self.context.endpoints.set(&self.key, None);
        let end = match end {
            Some(Ok(status)) => End::Exited {
                success: status.success(),
                description: status.to_string(),
            },
            Some(Err(error)) => End::Exited {
                success: false,
                description: error.to_string(),
            },
            None => {
                self.report(wanted, 1, false, None);
                // No call comes any more; one that is on its way must find the process willing.
                calls.close();
                let _ = timeout(ARRIVAL, calls.wait()).await;
                stop(
                    &mut child,
                    wanted.workload.pod.spec.termination_grace_period_seconds,
                )
                .await;
                End::Stopped
            }
        };
        // Whatever it started goes with it.
        group.into_iter().for_each(kill_rest);
        self.context.spawner.ended(&self.record_name());
        end
    }

    /// When it should have got ready.
    fn deadline(&self, wanted: &Wanted) -> Instant {
        let allowed = Duration::from_secs(wanted.workload.progress_deadline_seconds);
        self.begun.unwrap_or_else(Instant::now) + allowed
    }

    fn finish(&self, wanted: &Wanted, problem: Option<String>) {
        let (condition, message) = match &problem {
            None => ("Complete", ""),
            Some(problem) => ("Failed", problem.as_str()),
        };
        let status = json!({
            "observedGeneration": wanted.generation,
            "active": 0,
            "succeeded": u32::from(problem.is_none()),
            "failed": self.restarts,
            "conditions": [{ "type": condition, "status": "True", "message": message }],
        });
        self.context.store.set_status(&self.key, &wanted.uid, status);
    }

    fn report(&self, wanted: &Wanted, processes: u32, ready: bool, waiting: Option<&Waiting>) {
        let mut pod = json!({ "restartCount": self.restarts, "ready": ready });
        if let Some(waiting) = waiting {
            pod["waiting"] = json!({ "reason": waiting.reason, "message": waiting.message });
        }
        let is_wished = wanted.workload.scale > 0;
        let generation = match &*self.wish.borrow() {
            Some(wish) if wanted.is_same(wish) => wish.generation,
            _ => wanted.generation,
        };
        let mut status = if self.is_job() {
            json!({
                "observedGeneration": generation,
                "active": processes,
                "failed": self.restarts,
                "pods": [pod],
            })
        } else {
            json!({
                "observedGeneration": generation,
                "replicas": processes,
                "readyReplicas": u32::from(ready),
                "availableReplicas": u32::from(ready),
                "pods": if is_wished { json!([pod]) } else { json!([]) },
            })
        };
        let was_ready = self.was_ready.load(Ordering::Relaxed);
        if !self.is_job() && is_wished && !was_ready && self.deadline(wanted) <= Instant::now() {
            let seconds = wanted.workload.progress_deadline_seconds;
            status["conditions"] = json!([{
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": format!("it does not get ready: {seconds} seconds have passed"),
            }]);
        }
        self.context.store.set_status(&self.key, &wanted.uid, status);
    }
}

/// Asks a process to end, and kills it if it doesn't in time.
async fn stop(child: &mut Child, grace_seconds: u64) {
    signal(child, Signal::TERM);
    if timeout(Duration::from_secs(grace_seconds), child.wait())
        .await
        .is_err()
    {
        signal(child, Signal::KILL);
        let _ = child.wait().await;
    }
}

/// Chooses the real port for each port of the container: all processes share the machine's.
fn assign_ports(container: &Container) -> Result<BTreeMap<u16, u16>, String> {
    let assign = |port: &crate::manifest::ContainerPort| {
        let real = match port.host_port {
            Some(port) => port,
            None => free_port().map_err(|error| format!("no free port: {error}"))?,
        };
        Ok((port.container_port, real))
    };
    container.ports.iter().map(assign).collect()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
