//! Keeps objects of the runtime as the collections wish, and shows in the collections what the runtime reports.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use kubernetes_sentinel_v1::{Collection, Kind, ManagedObject, ObjectStatus, SentinelData};
use reside::prelude::*;
use reside_local::{ClientError, ObjectEvent, RuntimeClient};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Tells objects of the sentinel from others.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// What the label says.
const SENTINEL: &str = "kubernetes-sentinel";

type Key = (Kind, String);

/// The collections and the runtime, side by side.
pub struct Keeper {
    runtime: RuntimeClient,
    collections: BTreeMap<Kind, Co<Collection>>,
    /// Manifests as they were applied or refused last.
    handled: HashMap<Key, Option<Value>>,
    /// What the runtime made of the manifests that it took.
    taken: HashMap<Key, Value>,
    /// Values that are watched, each by a task.
    watched: HashSet<String>,
    watching: JoinSet<()>,
    wake: Arc<Notify>,
}

impl Keeper {
    /// Loads the collections.
    pub async fn open(data: &Co<SentinelData>, runtime: RuntimeClient) -> Result<Self, BoxError> {
        let snapshot = data.get()?;
        let mut collections = BTreeMap::new();
        for kind in Kind::ALL {
            collections.insert(kind, data.node().load(snapshot.collection(kind)).await?);
        }
        let mut keeper = Self {
            runtime,
            collections,
            handled: HashMap::new(),
            taken: HashMap::new(),
            watched: HashSet::new(),
            watching: JoinSet::new(),
            wake: Arc::new(Notify::new()),
        };
        for collection in keeper.collections.values().cloned().collect::<Vec<_>>() {
            keeper.watch(&collection);
        }
        Ok(keeper)
    }

    /// Waits until a collection or an object in it has changed.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    fn watch<T: jazz::CoValue>(&mut self, value: &Co<T>) {
        if self.watched.insert(value.id().to_string()) {
            let mut changes = value.node().driver().watch(value.id());
            let wake = self.wake.clone();
            self.watching.spawn(async move {
                loop {
                    changes.changed().await;
                    wake.notify_one();
                }
            });
        }
    }

    /// Applies every manifest that isn't applied yet. One that is refused is marked, and stops no other.
    pub async fn apply_wishes(&mut self) -> Result<(), BoxError> {
        for (kind, collection) in self.collections.clone() {
            for (name, reference) in collection.entries()? {
                let object = collection.node().load(&reference).await?;
                self.watch(&object);
                self.apply(kind, &name, &object).await?;
            }
        }
        Ok(())
    }

    async fn apply(&mut self, kind: Kind, name: &str, object: &Co<ManagedObject>) -> Result<(), BoxError> {
        let wished = object.get()?;
        let key = (kind, name.to_owned());
        let is_settled = wished.status != ObjectStatus::Requested;
        if is_settled && self.handled.get(&key) == Some(&wished.manifest) {
            return Ok(());
        }
        let outcome = match &wished.manifest {
            Some(manifest) => {
                let manifest = forced(kind, name, manifest.clone());
                self.runtime.apply(local(kind), name, &manifest).await.map(Some)
            }
            None => self.runtime.delete(local(kind), name).await.map(|()| None),
        };
        let (status, problem, live) = match outcome {
            Ok(live) => (ObjectStatus::Updated, None, live),
            Err(ClientError::Refused(problem)) => (ObjectStatus::Error, Some(problem), wished.live.clone()),
            Err(error) => return Err(error.into()),
        };
        if let (ObjectStatus::Updated, Some(live)) = (status, &live) {
            self.taken.insert(key.clone(), contents(live));
        }
        self.handled.insert(key, wished.manifest.clone());
        object.update(|object| {
            // Somebody may have wished for something else meanwhile; then this says nothing about it.
            if object.manifest == wished.manifest {
                object.status = status;
                object.error_message = problem;
                object.live = live;
            }
        })?;
        Ok(())
    }

    /// Shows what the runtime reports of an object, and removes objects that are ours and that nobody wishes for.
    pub async fn observe(&mut self, event: ObjectEvent) -> Result<(), BoxError> {
        let (kind, name, live) = match event {
            ObjectEvent::Live { kind, name, live } => (kind, name, Some(live)),
            ObjectEvent::Gone { kind, name } => (kind, name, None),
            ObjectEvent::Synced => return Ok(()),
        };
        let kind = managed(kind);
        let collection = &self.collections[&kind];
        match collection.get(&name)? {
            Some(reference) => {
                let object = collection.node().load(&reference).await?;
                let before = object.get()?;
                let key = (kind, name);
                let is_changed = match (&live, self.taken.get(&key)) {
                    (Some(live), Some(taken)) => contents(live) != *taken,
                    (live, _) => live.is_none(),
                };
                if is_changed && before.manifest.is_some() {
                    // Somebody changed or deleted it by hand: it is applied again.
                    self.handled.remove(&key);
                    self.wake.notify_one();
                    object.update(|object| object.status = ObjectStatus::Requested)?;
                }
                if before.live != live {
                    object.update(|object| object.live = live)?;
                }
            }
            None => {
                let is_ours = live.is_some_and(|live| live["metadata"]["labels"][MANAGED_BY] == SENTINEL);
                if is_ours {
                    tracing::info!(%kind, name, "removing an object that is in no collection");
                    self.runtime.delete(local(kind), &name).await?;
                }
            }
        }
        Ok(())
    }
}

/// What an object is by wish; the rest is the runtime's to say.
fn contents(live: &Value) -> Value {
    json!(["spec", "data", "stringData", "rules"].map(|field| live.get(field)))
}

/// The manifest with what is not the writer's to say: kind, name, namespace and the label that marks it as ours.
fn forced(kind: Kind, name: &str, mut manifest: Value) -> Value {
    // What has no such parts is left as it is: the runtime refuses it, and says why.
    if let Some(object) = manifest.as_object_mut() {
        object.insert("kind".to_owned(), json!(kind.to_string()));
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("name".to_owned(), json!(name));
            metadata.remove("namespace");
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(MANAGED_BY.to_owned(), json!(SENTINEL));
            }
        }
    }
    manifest
}

macro_rules! kinds {
    ($($kind:ident),*) => {
        fn local(kind: Kind) -> reside_local::Kind {
            match kind {
                $(Kind::$kind => reside_local::Kind::$kind,)*
            }
        }

        fn managed(kind: reside_local::Kind) -> Kind {
            match kind {
                $(reside_local::Kind::$kind => Kind::$kind,)*
            }
        }
    };
}

kinds!(
    Deployment,
    StatefulSet,
    Job,
    Secret,
    ConfigMap,
    Service,
    Ingress,
    NetworkPolicy,
    PersistentVolumeClaim,
    ServiceAccount,
    Role,
    RoleBinding
);
