//! Keeps the orchestrator's objects as they should be, and the statuses of versions as the orchestrator reports them.

use std::collections::{BTreeMap, BTreeSet};

use alpha_v1::{ReplicaId, ReplicaVersion, VersionStatus};
use kubernetes_sentinel_v1::{Collection, Kind, ManagedObject, ObjectStatus, SentinelData};
use reside::prelude::*;
use serde_json::Value;

use crate::objects::{Object, endpoints, secret, workload, workload_kind, workload_name};
use crate::rollout::{Stance, VersionState, wanted};
use crate::state::{LoadedReplica, State};
use crate::status::{Observed, version_status};

/// The collections that Alpha writes.
const KINDS: [Kind; 5] = [
    Kind::Deployment,
    Kind::Job,
    Kind::Secret,
    Kind::Service,
    Kind::Ingress,
];

/// The sentinel's collections, as far as Alpha writes them.
#[derive(Clone, Debug)]
pub struct Sentinel {
    collections: BTreeMap<Kind, Co<Collection>>,
}

impl Sentinel {
    /// Loads the collections; fails until the sentinel has let Alpha in.
    pub async fn open(data: &Co<SentinelData>) -> Result<Self, BoxError> {
        let snapshot = data.get()?;
        let mut collections = BTreeMap::new();
        for kind in KINDS {
            collections.insert(kind, data.node().load(snapshot.collection(kind)).await?);
        }
        Ok(Self { collections })
    }

    fn collection(&self, kind: Kind) -> &Co<Collection> {
        &self.collections[&kind]
    }

    async fn find(&self, kind: Kind, name: &str) -> Result<Option<Co<ManagedObject>>, BoxError> {
        let collection = self.collection(kind);
        Ok(match collection.get(name)? {
            Some(reference) => Some(collection.node().load(&reference).await?),
            None => None,
        })
    }

    /// Returns every object of every collection.
    pub async fn all(&self) -> Result<Vec<Co<ManagedObject>>, BoxError> {
        let mut objects = Vec::new();
        for collection in self.collections.values() {
            for reference in collection.entries()?.values() {
                objects.push(collection.node().load(reference).await?);
            }
        }
        Ok(objects)
    }

    /// Returns the collections themselves.
    pub fn collections(&self) -> impl Iterator<Item = &Co<Collection>> {
        self.collections.values()
    }

    async fn observe(&self, kind: Kind, name: &str) -> Result<Observed, BoxError> {
        let Some(object) = self.find(kind, name).await? else {
            return Ok(Observed::default());
        };
        let object = object.get()?;
        let mut observed = Observed::of(kind, object.live.as_ref());
        observed.pending |= object.status == ObjectStatus::Requested;
        if object.status != ObjectStatus::Error {
            return Ok(observed);
        }
        // What was refused and isn't there can't run; what is there runs on as it was.
        Ok(Observed {
            failed: observed.failed || !observed.exists,
            problem: object.error_message.or(observed.problem),
            ..observed
        })
    }

    /// Makes an object be wished for; `None` wishes it away.
    async fn wish(&self, kind: Kind, name: &str, manifest: Option<Value>) -> Result<(), BoxError> {
        match self.find(kind, name).await? {
            Some(object) => {
                if object.get()?.manifest != manifest {
                    object.update(|object| {
                        object.manifest = manifest;
                        object.status = ObjectStatus::Requested;
                    })?;
                }
            }
            None if manifest.is_none() => {}
            None => {
                let collection = self.collection(kind);
                let (owner, node) = (collection.owner(), collection.node());
                let object = ManagedObject {
                    name: name.to_owned(),
                    status: ObjectStatus::Requested,
                    manifest,
                    live: None,
                    error_message: None,
                };
                // Made under an id that follows from its name: after a crash in between it is found again.
                let made = node
                    .upsert_unique(&owner, format!("object/{kind}/{name}"), object)
                    .await?;
                collection.insert(name, &made.reference())?;
            }
        }
        Ok(())
    }
}

/// Brings the objects and the statuses of all replicas up to date.
pub async fn reconcile(
    state: &State,
    sentinel: &Sentinel,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<(), BoxError> {
    for replica in replicas.values() {
        if let Err(error) = reconcile_replica(state, sentinel, replica).await {
            tracing::error!(replica = replica.record.name, %error, "cannot bring the objects of a replica up to date");
        }
    }
    remove_unloaded(state, sentinel, replicas).await
}

async fn reconcile_replica(
    state: &State,
    sentinel: &Sentinel,
    replica: &LoadedReplica,
) -> Result<(), BoxError> {
    let record = &replica.record;
    let settings = state.settings()?;
    let Some(current) = replica.current() else {
        return Ok(());
    };
    let agent_secret = state
        .secrets
        .get(record.id.to_string())?
        .ok_or("the replica's account has no secret")?;
    put(sentinel, secret(record, &agent_secret)).await?;
    let has_endpoints = serves_methods(state, current).await?;
    for object in endpoints(record) {
        if has_endpoints {
            put(sentinel, object).await?;
        } else {
            sentinel.wish(object.kind, &object.name, None).await?;
        }
    }
    let kind = workload_kind(&record.info);
    let mut versions = Vec::new();
    for (&id, (_, version)) in &replica.versions {
        let observed = sentinel.observe(kind, &workload_name(&record.name, id)).await?;
        let status = version.status;
        versions.push(VersionState { id, status, observed });
    }
    let wanted = wanted(
        &record.info,
        Stance::of(&replica.management),
        record.current_version,
        &versions,
    );
    for VersionState { id, observed, .. } in &versions {
        let (handle, version) = &replica.versions[id];
        let name = workload_name(&record.name, *id);
        let serves = serves_methods(state, version).await?;
        let put_at = |scale| {
            put(
                sentinel,
                workload(record, version, &replica.management, &settings, serves, scale),
            )
        };
        match (kind, wanted.contains(id)) {
            (Kind::Job, false) => sentinel.wish(kind, &name, None).await?,
            (_, true) => put_at(1).await?,
            // Kept at no processes, so that it shows what was there and can come back.
            (_, false) if observed.exists || observed.pending => put_at(0).await?,
            (_, false) => {}
        }
        let is_current = *id == record.current_version;
        let status = version_status(observed, wanted.contains(id), is_current, version.status);
        let problem = matches!(
            status,
            VersionStatus::Error | VersionStatus::Degraded | VersionStatus::Starting
        )
        .then(|| observed.problem.clone())
        .flatten();
        if status != version.status || problem != version.error_message {
            handle.update(|version| {
                version.status = status;
                version.error_message = problem;
            })?;
        }
    }
    Ok(())
}

/// Whether the version answers calls, and so needs a port, a Service and an Ingress.
async fn serves_methods(state: &State, version: &ReplicaVersion) -> Result<bool, BoxError> {
    for implementation in version.manifest.implementations.values() {
        let contract = state
            .contract(&implementation.identity)
            .await?
            .ok_or("an implemented contract is not known")?;
        if !contract.get()?.manifest.methods.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn put(sentinel: &Sentinel, object: Object) -> Result<(), BoxError> {
    sentinel
        .wish(object.kind, &object.name, Some(object.manifest))
        .await
}

/// Wishes away what belongs to replicas that have been unloaded, unless another replica has taken the name.
async fn remove_unloaded(
    state: &State,
    sentinel: &Sentinel,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<(), BoxError> {
    let names: BTreeSet<&str> = replicas
        .values()
        .map(|replica| replica.record.name.as_str())
        .collect();
    let workloads: BTreeSet<(Kind, String)> = replicas.values().flat_map(workloads_of).collect();
    for record in state.all_records().await? {
        if record.unloaded_at.is_none() {
            continue;
        }
        let kind = workload_kind(&record.info);
        for reference in state.node.load(&record.versions).await?.entries()?.values() {
            let version = state.node.load(reference).await?;
            let snapshot = version.get()?;
            let name = workload_name(&record.name, snapshot.id);
            if !workloads.contains(&(kind, name.clone())) {
                sentinel.wish(kind, &name, None).await?;
            }
            if snapshot.status != VersionStatus::Stopped {
                version.update(|version| version.status = VersionStatus::Stopped)?;
            }
        }
        if !names.contains(record.name.as_str()) {
            for kind in [Kind::Secret, Kind::Service, Kind::Ingress] {
                sentinel.wish(kind, &record.name, None).await?;
            }
        }
    }
    Ok(())
}

/// The workloads that a replica may have.
fn workloads_of(replica: &LoadedReplica) -> impl Iterator<Item = (Kind, String)> {
    let kind = workload_kind(&replica.record.info);
    let name = move |version: &u32| (kind, workload_name(&replica.record.name, *version));
    replica.versions.keys().map(name)
}
