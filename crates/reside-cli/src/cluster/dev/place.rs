//! The place of a replica in its cluster: taking it, and giving it back. Whoever has it holds a lock, and the management
//! block says so; when the lock is free, Alpha gives the place back by itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use alpha_v1::AlphaContract;
use alpha_v1::{DevSession, ManageReplicas, ManagementBlock, ReadReplicas, VersionStatus};
use jazz::{Co, Timestamp};
use reside::locks::{LocalLocks, LockError, Locks};
use reside::manifest::ReplicaClass;
use reside::{Contract, Permission};
use reside_local::{Kind, StandIn};
use serde_json::Value;
use tokio::time::timeout;

use super::child::Launch;
use crate::cli::App;
use crate::cluster::explain;
use crate::cluster::local::LocalCluster;
use crate::cluster::records::Replica;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// How long a session that was just killed may be remembered.
const LOCK_TIME: Duration = Duration::from_secs(2);
/// Longer than a process may take to end before it is killed.
const STOP_TIME: Duration = Duration::from_secs(60);

/// A replica's place in a cluster of this machine.
pub struct Place<'a> {
    app: &'a App,
    session: &'a Session,
    cluster: LocalCluster,
    replica: Replica,
    /// How the cluster runs it.
    pub launch: Launch,
    /// How the cluster calls it; a oneshot isn't called.
    pub stand_in: Option<StandIn>,
}

impl<'a> Place<'a> {
    /// Finds out how the cluster runs the replica.
    pub async fn find(app: &'a App, session: &'a Session, replica: Replica) -> Result<Self, CommandError> {
        let cluster = LocalCluster::existing(app, session.target().cluster.name.as_str())
            .map_err(|error| error.help("`reside dev` works with clusters of this machine"))?;
        let name = &replica.record.name;
        let kind = match replica.record.info.class {
            ReplicaClass::LongRunning => Kind::Deployment,
            ReplicaClass::Oneshot => Kind::Job,
        };
        let workload = format!("{name}-{}", replica.version.id);
        let object = object(&cluster, kind, &workload).await?;
        let template = &object["spec"]["template"];
        let container = &template["spec"]["containers"][0];
        let mut env = environment(&cluster, container).await?;
        let paths = cluster.paths();
        env.insert(
            "RESIDE_LOCK_SOCKET".to_owned(),
            paths.locks().display().to_string(),
        );
        env.insert(
            "RESIDE_RUNTIME_SOCKET".to_owned(),
            paths.socket().display().to_string(),
        );
        let port = free_port().map_err(|why| CommandError::failed("no port is free").because(why))?;
        env.insert("RESIDE_LISTEN_HOST".to_owned(), Ipv4Addr::LOCALHOST.to_string());
        env.insert("RESIDE_LISTEN_PORT".to_owned(), port.to_string());
        let stand_in = container["ports"][0]["containerPort"]
            .as_u64()
            .map(|container_port| StandIn {
                labels: serde_json::from_value(template["metadata"]["labels"].clone()).unwrap_or_default(),
                container_port: u16::try_from(container_port).unwrap_or(0),
                port,
                readiness_probe: serde_json::from_value(container["readinessProbe"].clone()).ok(),
            });
        let folder = paths.folder().join("work").join(format!("dev_{name}"));
        let launch = Launch { env, folder };
        Ok(Self {
            app,
            session,
            cluster,
            replica,
            launch,
            stand_in,
        })
    }

    /// The cluster's runtime.
    pub fn runtime(&self) -> reside_local::RuntimeClient {
        self.cluster.client()
    }

    /// Where the replica is called, if it implements anything.
    pub fn url(&self) -> Option<String> {
        let endpoint = self.session.target().cluster.endpoint.trim_end_matches('/');
        let is_called = !self.replica.record.implementations.is_empty();
        is_called.then(|| format!("{endpoint}/replicas/{}/", self.replica.record.name))
    }

    /// Does the work in the replica's place, and gives it back afterwards.
    pub async fn with(
        &self,
        work: impl Future<Output = Result<(), CommandError>>,
    ) -> Result<(), CommandError> {
        let record = &self.replica.record;
        let locks = Locks::new(LocalLocks::new(self.cluster.paths().locks()));
        let management = self
            .session
            .load::<ReadReplicas, _>("the management block", &record.management)
            .await?;
        let mut result = Ok(());
        let held = locks
            .with(&DevSession::lock(record.id), LOCK_TIME, async {
                result = match self.take(&management).await {
                    Ok(()) => work.await,
                    Err(error) => Err(error),
                };
                let given_back = self.set(&management, None).await;
                result = std::mem::replace(&mut result, Ok(())).and(given_back);
                Ok(|| Ok(()))
            })
            .await;
        held.map_err(|error| self.cannot_hold(error))?;
        result?;
        if self.replica.management.enabled {
            self.session
                .started(self.app, record.id, record.current_version)
                .await?;
        }
        Ok(())
    }

    /// Has the cluster's own instance stop.
    async fn take(&self, management: &Co<ManagementBlock>) -> Result<(), CommandError> {
        let record = &self.replica.record;
        let _progress = self.app.ui.progress(format!("{}: taking its place", record.name));
        let by = self.session.node().account_id().clone();
        self.set(
            management,
            Some(DevSession {
                by,
                since: Timestamp::now(),
            }),
        )
        .await?;
        let failed = |error| self.session.cannot_load::<ReadReplicas>(error, "the versions");
        for version in self.session.versions(record).await.map_err(failed)? {
            let version = self.session.version(record, version.id).await.map_err(failed)?;
            let mut changes = version.subscribe();
            let has_ended = |status| matches!(status, VersionStatus::Stopped | VersionStatus::Completed);
            let ended = changes.wait_for(|version| has_ended(version.status));
            if !matches!(timeout(STOP_TIME, ended).await, Ok(Some(Ok(_)))) {
                let seconds = STOP_TIME.as_secs();
                return Err(CommandError::failed(format!("cannot take the place of `{}`", record.name))
                    .because(format!("the cluster's own process has not stopped within {seconds} seconds"))
                    .help("an Alpha that is older than this program knows nothing of dev sessions: update it"));
            }
        }
        Ok(())
    }

    async fn set(
        &self,
        management: &Co<ManagementBlock>,
        dev: Option<DevSession>,
    ) -> Result<(), CommandError> {
        management.update(|block| block.dev = dev).map_err(|error| {
            let what = format!("the management block of `{}`", self.replica.record.name);
            let account = self.session.account();
            explain::write(
                error,
                &what,
                &AlphaContract::identity(),
                ManageReplicas::NAME,
                account,
            )
        })?;
        self.session.sync().await
    }

    fn cannot_hold(&self, error: LockError) -> CommandError {
        let name = &self.replica.record.name;
        match error {
            LockError::Held(_) => CommandError::failed(format!("cannot take the place of `{name}`"))
                .because("somebody else has it")
                .help(format!("`reside replica info {name}` tells who")),
            error => CommandError::failed(format!("lost the place of `{name}`"))
                .because(error)
                .help(format!(
                    "`reside cluster info {}` tells how the cluster is doing",
                    self.cluster.name()
                )),
        }
    }
}

async fn object(cluster: &LocalCluster, kind: Kind, name: &str) -> Result<Value, CommandError> {
    let what = || format!("cannot read how the cluster runs {name}");
    let found = cluster.client().get(kind, name).await;
    let found = found.map_err(|why| CommandError::failed(what()).because(why))?;
    found.ok_or_else(|| {
        CommandError::failed(what())
            .because(format!(
                "there is no {kind} {name}: it has never run, or is disabled"
            ))
            .help("`reside replica enable NAME` starts a replica that is disabled")
    })
}

/// The variables of a container, secrets looked up.
async fn environment(
    cluster: &LocalCluster,
    container: &Value,
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut env = BTreeMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let Some(name) = variable["name"].as_str() else {
            continue;
        };
        let reference = &variable["valueFrom"]["secretKeyRef"];
        let value = match (variable["value"].as_str(), reference["name"].as_str()) {
            (Some(value), _) => Some(value.to_owned()),
            (None, Some(secret)) => {
                let secret = object(cluster, Kind::Secret, secret).await?;
                let key = reference["key"].as_str().unwrap_or_default();
                secret["stringData"][key].as_str().map(str::to_owned)
            }
            (None, None) => None,
        };
        env.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(env)
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
