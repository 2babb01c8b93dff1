//! Alpha at work: commands change what is wished for, durably; one loop makes it so. The loop looks at everything there
//! is and never at why it was woken, so a restart at any point goes on where it stopped.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alpha_v1::{
    AlphaContract, ApproveLoadRequest, ApprovedLoadRequest, CreateLoadRequest, LoadRequest,
    LoadRequestStatus, ReplicaId,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use jazz::{AgentSecret, CoId, SecretSeed};
use kubernetes_sentinel_v1::SentinelData;
use parking_lot::Mutex as SyncMutex;
use reside::Clock;
use reside::prelude::*;
use reside_image::ImageSource;
use tokio::sync::{Mutex, Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::carry_out::{Accounts, carry_out, make_current};
use crate::dev::DevSessions;
use crate::grants::check_end;
use crate::lookups;
use crate::permissions;
use crate::plan::{Existing, Owners, plan};
use crate::retained::Retained;
use crate::setup::SystemReplica;
use crate::state::{AlphaRoot, LoadedReplica, State};
use crate::validate::{Fetched, Problem, fetch, validate};
use crate::workloads::{self, Sentinel};

/// The loop looks again after this long even if nothing has woken it.
const RESYNC: Duration = Duration::from_secs(60);
/// Wait after a failed run of the loop.
const RETRY: Duration = Duration::from_secs(1);
/// How long the images of a load request may take to come.
const FETCH_TIME: Duration = Duration::from_secs(90);

/// Alpha. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    state: State,
    images: Arc<dyn ImageSource>,
    accounts: Arc<dyn Accounts>,
    sentinel_data: OnceCell<Co<SentinelData>>,
    sentinel: Mutex<Option<Sentinel>>,
    /// One change at a time: numbers and names are taken by looking at what is there.
    changing: Mutex<()>,
    wake: Notify,
    retained: Retained,
    dev: DevSessions,
    /// There may be a request to validate.
    asked: Notify,
    watched: SyncMutex<HashSet<CoId>>,
    acting: AtomicBool,
    stop: CancellationToken,
    clock: Clock,
}

/// Set for as long as this lives: whoever acts may be dropped.
struct Acting<'a>(&'a AtomicBool);

impl<'a> Acting<'a> {
    fn new(acting: &'a AtomicBool) -> Self {
        acting.store(true, Ordering::Release);
        Self(acting)
    }
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn internal(error: impl Into<BoxError>) -> RpcError {
    RpcError::internal(error)
}

impl Engine {
    /// Loads Alpha's data. `stop` ends everything that goes on in the background.
    pub async fn open(
        replica: &Replica,
        images: Arc<dyn ImageSource>,
        accounts: Arc<dyn Accounts>,
        stop: CancellationToken,
    ) -> Result<Self, BoxError> {
        let data = replica.implementation::<AlphaContract>()?.data().clone();
        let root = replica.root::<AlphaRoot>().await?;
        Ok(Self(Arc::new(Inner {
            state: State::open(data, root).await?,
            images,
            accounts,
            sentinel_data: OnceCell::new(),
            sentinel: Mutex::new(None),
            changing: Mutex::new(()),
            wake: Notify::new(),
            retained: Retained::default(),
            dev: DevSessions::new(replica.locks().clone(), stop.clone()),
            asked: Notify::new(),
            watched: SyncMutex::default(),
            acting: AtomicBool::new(false),
            stop,
            clock: replica.clock(),
        })))
    }

    /// Tells where the sentinel's collections are.
    pub fn use_sentinel(&self, data: Co<SentinelData>) {
        // The sentinel's data never move; a second call brings the same.
        let _ = self.0.sentinel_data.set(data);
        self.0.wake.notify_one();
    }

    /// Returns Alpha's data.
    pub fn state(&self) -> &State {
        &self.0.state
    }

    /// Returns the time of day.
    pub(crate) fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Has the loop look again.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    // Load requests.

    /// Registers a load request and validates it in the background.
    pub async fn create_load_request(&self, by: &AccountId, asked: CreateLoadRequest) -> RpcResult<u32> {
        let state = &self.0.state;
        let _changing = self.0.changing.lock().await;
        let id = State::next_number(&state.load_requests.keys().map_err(internal)?, 1);
        let request = LoadRequest {
            id,
            image: asked.image,
            status: LoadRequestStatus::Validating,
            requested_by: by.clone(),
            owner_id: asked.owner_id,
            created_at: Timestamp::now(),
            replica_id: asked.replica_id,
            replica_name: asked.name,
            validated: None,
            version_id: None,
            decided_by: None,
            error_message: None,
            rejection_reason: None,
        };
        // One that a crash has left unlisted, and that nobody was told of, becomes this one.
        let made = state
            .node
            .upsert_unique(
                &state.load_requests.owner(),
                format!("load-request/{id}"),
                request,
            )
            .await
            .map_err(internal)?;
        state
            .load_requests
            .insert(id.to_string(), &made.reference())
            .map_err(internal)?;
        self.0.asked.notify_one();
        Ok(id)
    }

    /// Validates a request that waits for it. Nothing waits for the image source but the request itself.
    pub async fn validate_request(&self, id: u32) -> Result<(), BoxError> {
        let state = &self.0.state;
        let Some(handle) = state.load_request(id).await? else {
            return Ok(());
        };
        if handle.get()?.status != LoadRequestStatus::Validating {
            return Ok(());
        }
        let fetched = self.fetch(&handle.get()?.image).await;
        let _changing = self.settle().await?;
        let request = handle.get()?;
        if request.status != LoadRequestStatus::Validating {
            return Ok(());
        }
        let valid = match fetched {
            Ok(fetched) => {
                match self
                    .0
                    .retained
                    .keep(state, &*self.0.images, Some(fetched.image()))
                    .await
                {
                    Ok(()) => validate(state, &request, fetched).await,
                    Err(error) => Err(Problem::Invalid(format!("{}: {error}", fetched.image()))),
                }
            }
            Err(reason) => Err(Problem::Invalid(reason)),
        };
        match valid {
            Ok(valid) => handle.update(|request| {
                request.status = LoadRequestStatus::RequiresApproval;
                request.replica_id = valid.replica_id;
                request.replica_name = Some(valid.name);
                request.validated = Some(valid.validated);
            })?,
            Err(Problem::Invalid(reason)) => handle.update(|request| {
                request.status = LoadRequestStatus::Invalid;
                request.error_message = Some(reason);
            })?,
            Err(Problem::Failed(error)) => return Err(error),
        }
        // A contract may have got a newer manifest, by which objects go.
        self.wake();
        Ok(())
    }

    async fn fetch(&self, image: &str) -> Result<Fetched, String> {
        let fetching = tokio::time::timeout(FETCH_TIME, fetch(&*self.0.images, image));
        fetching.await.unwrap_or_else(|_| {
            Err(format!(
                "{image} was not fetched within {} seconds; ask again when its source answers",
                FETCH_TIME.as_secs()
            ))
        })
    }

    /// Approves a request: what will be done is decided and stored; the loop does it.
    pub async fn approve(&self, by: &AccountId, asked: ApproveLoadRequest) -> RpcResult<ApprovedLoadRequest> {
        let _changing = self.settle().await.map_err(internal)?;
        let replicas = self.0.state.loaded_replicas().await.map_err(internal)?;
        let known: Vec<Existing> = replicas.values().map(existing).collect();
        self.approve_as(by, asked, &known, None).await
    }

    /// Takes the right to change things, and carries out what was decided before: every decision looks at what came of
    /// the last one.
    async fn settle(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, BoxError> {
        let changing = self.0.changing.lock().await;
        let state = &self.0.state;
        let plans = state.plans.entries()?;
        for plan in plans.values() {
            carry_out(state, &self.0.accounts, plan).await?;
        }
        Ok(changing)
    }

    /// Approves a request whose new replica shall have this number; for the bootstrap, which is alone.
    pub async fn approve_as(
        &self,
        by: &AccountId,
        asked: ApproveLoadRequest,
        known: &[Existing],
        system: Option<&SystemReplica>,
    ) -> RpcResult<ApprovedLoadRequest> {
        let state = &self.0.state;
        let (handle, request) = self.pending_request(asked.load_request_id).await?;
        let validated = request
            .validated
            .clone()
            .ok_or_else(|| internal("a validated request has no result"))?;
        let next = match system {
            Some(system) => system.id,
            None => self.next_replica_id()?,
        };
        let now = self.clock().now();
        check_end(asked.expires_at, now)?;
        let mut plan = plan(&request, &validated, &asked, known, next, by.clone(), now)
            .map_err(|error| RpcError::wrong_state(error.to_string()))?;
        if !known.iter().any(|replica| replica.id == plan.replica_id) {
            plan.owners = Some(self.owners(system).await.map_err(internal)?);
        }
        let secret = match system {
            Some(system) => system.secret.clone(),
            None => AgentSecret::from_seed(&SecretSeed::random(&mut jazz::driver::OsEntropy)),
        };
        let is_known = state
            .secrets
            .contains_key(plan.replica_id.to_string())
            .map_err(internal)?;
        state
            .transaction(|tx| {
                if !is_known {
                    tx.insert(
                        &state.secrets,
                        plan.replica_id.to_string(),
                        &secret.expose().to_owned(),
                    )?;
                }
                tx.insert(&state.plans, plan.load_request_id.to_string(), &plan)?;
                tx.update(&handle, |request| {
                    request.status = LoadRequestStatus::Approved;
                    request.decided_by = Some(by.clone());
                })
            })
            .map_err(internal)?;
        self.wake();
        Ok(ApprovedLoadRequest {
            replica_id: plan.replica_id,
            version_id: plan.version_id,
            name: plan.name,
        })
    }

    /// The groups of a new replica. A control block that the bootstrap has made keeps its own.
    async fn owners(&self, system: Option<&SystemReplica>) -> Result<Owners, BoxError> {
        let node = &self.0.state.node;
        let control_block = match system.and_then(|system| system.control_block.as_ref()) {
            Some(block) => node.load(block).await?.owner(),
            None => node.create_group()?,
        };
        Ok(Owners {
            control_block: control_block.reference(),
            management: node.create_group()?.reference(),
        })
    }

    fn next_replica_id(&self) -> RpcResult<ReplicaId> {
        let state = &self.0.state;
        // A plan that is not carried out yet has taken its number already. A secret alone hasn't: nobody has used it.
        let plans = state.plans.entries().map_err(internal)?;
        let planned = plans.values().map(|plan| plan.replica_id.to_string());
        let made = state.replicas.keys().map_err(internal)?;
        let taken: Vec<String> = made.into_iter().chain(planned).collect();
        Ok(State::next_number(&taken, 3))
    }

    /// Rejects a request.
    pub async fn reject(&self, by: &AccountId, id: u32, reason: Option<String>) -> RpcResult<()> {
        let _changing = self.settle().await.map_err(internal)?;
        let (handle, _) = self.pending_request(id).await?;
        handle
            .update(|request| {
                request.status = LoadRequestStatus::Rejected;
                request.decided_by = Some(by.clone());
                request.rejection_reason = reason;
            })
            .map_err(internal)
    }

    async fn pending_request(&self, id: u32) -> RpcResult<(Co<LoadRequest>, LoadRequest)> {
        let found = self.0.state.load_request(id).await.map_err(internal)?;
        let handle = found.ok_or_else(|| RpcError::not_found(format!("there is no load request {id}")))?;
        let request = handle.get().map_err(internal)?;
        let state = match request.status {
            LoadRequestStatus::RequiresApproval => return Ok((handle, request)),
            LoadRequestStatus::Validating => "is still being validated",
            LoadRequestStatus::Invalid => "is invalid",
            LoadRequestStatus::Approved => "is approved already",
            LoadRequestStatus::Rejected => "was rejected",
        };
        Err(RpcError::wrong_state(format!("load request {id} {state}")))
    }

    // Replicas.

    /// Returns a loaded replica.
    pub async fn replica(&self, id: ReplicaId) -> RpcResult<LoadedReplica> {
        let found = self.0.state.replica(id).await.map_err(internal)?;
        found
            .filter(|replica| replica.record.unloaded_at.is_none())
            .ok_or_else(|| RpcError::not_found(format!("there is no replica {id}")))
    }

    /// Makes an older version current; without a number, the one before the current one.
    pub async fn rollback(&self, id: ReplicaId, version: Option<u32>) -> RpcResult<u32> {
        let _changing = self.settle().await.map_err(internal)?;
        let replica = self.replica(id).await?;
        let current = replica.record.current_version;
        let version = match version {
            Some(version) => version,
            None => *replica
                .versions
                .keys()
                .rfind(|version| **version < current)
                .ok_or_else(|| RpcError::wrong_state(format!("replica {id} has no older version")))?,
        };
        let (_, chosen) = replica
            .versions
            .get(&version)
            .ok_or_else(|| RpcError::not_found(format!("replica {id} has no version {version}")))?;
        make_current(&replica.handle, version, &chosen.manifest).map_err(internal)?;
        lookups::reconcile(&self.0.state).await.map_err(internal)?;
        self.wake();
        Ok(version)
    }

    /// Unloads a replica; its grants and objects go with the next run of the loop.
    pub async fn unload(&self, id: ReplicaId) -> RpcResult<()> {
        let state = &self.0.state;
        let _changing = self.settle().await.map_err(internal)?;
        let replica = self.replica(id).await?;
        if id <= 2 {
            return Err(RpcError::wrong_state(format!(
                "{} is part of the cluster itself",
                replica.record.name
            )));
        }
        let others = state.loaded_replicas().await.map_err(internal)?;
        if let Some((other, key)) = others.values().find_map(|other| needs(other, id)) {
            return Err(RpcError::wrong_state(format!(
                "{other} needs it for its requirement {key:?}; unload {other} first"
            )));
        }
        replica
            .handle
            .update(|record| record.unloaded_at = Some(self.clock().now()))
            .map_err(internal)?;
        lookups::reconcile(state).await.map_err(internal)?;
        self.wake();
        Ok(())
    }

    /// Keeps others from changing anything for as long as the guard lives.
    pub(crate) async fn change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    // The loop.

    /// Tells whether this Alpha is the one that acts.
    pub fn is_acting(&self) -> bool {
        self.0.acting.load(Ordering::Acquire)
    }

    /// Takes calls and runs the loops until Alpha stops, or for as long as it is polled.
    pub async fn act(&self) {
        let _acting = Acting::new(&self.0.acting);
        tokio::join!(self.run(), self.validate_requests());
    }

    /// Validates requests until Alpha stops, each by itself: one whose image is slow to come keeps no other waiting.
    async fn validate_requests(&self) {
        let (mut under_way, mut ids) = (FuturesUnordered::new(), HashSet::new());
        loop {
            let wait = match self.0.state.all_load_requests().await {
                Ok(requests) => {
                    let waiting = requests
                        .into_iter()
                        .filter(|(_, request)| request.status == LoadRequestStatus::Validating);
                    for (_, request) in waiting {
                        if ids.insert(request.id) {
                            under_way.push(self.validated(request.id));
                        }
                    }
                    RESYNC
                }
                Err(error) => {
                    report("cannot read the load requests", &error);
                    RETRY
                }
            };
            tokio::select! {
                Some(id) = under_way.next() => drop(ids.remove(&id)),
                () = self.0.asked.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    /// Validates a request, however often it takes; returns its number.
    async fn validated(&self, id: u32) -> u32 {
        while let Err(error) = self.validate_request(id).await {
            report("cannot validate a load request", &*error);
            tokio::time::sleep(RETRY).await;
        }
        id
    }

    /// Runs the loop until Alpha stops.
    async fn run(&self) {
        loop {
            let wait = match self.reconcile().await {
                Ok(wait) => wait,
                Err(error) => {
                    report("cannot bring the cluster up to date", &*error);
                    RETRY
                }
            };
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    /// Does everything that is to be done now. Returns after how long there may be something to do again.
    pub async fn reconcile(&self) -> Result<Duration, BoxError> {
        let state = &self.0.state;
        let _changing = self.settle().await?;
        lookups::reconcile(state).await?;
        let replicas = state.loaded_replicas().await?;
        if let Err(error) = self.0.retained.keep(state, &*self.0.images, None).await {
            report("cannot say which images are needed", &*error);
        }
        let next_end = permissions::reconcile(state, &replicas, self.clock().now()).await?;
        for replica in replicas.values() {
            let management = state.node.load(&replica.record.management).await?;
            self.watch(&management);
            self.0.dev.watch(replica.record.id, &management)?;
        }
        if let Some(sentinel) = self.sentinel().await? {
            workloads::reconcile(state, &sentinel, &replicas).await?;
            for collection in sentinel.collections() {
                self.watch(collection);
            }
            for object in sentinel.all().await? {
                self.watch(&object);
            }
        }
        let until_end = next_end.map(|end| self.clock().until(end));
        Ok(until_end.unwrap_or(RESYNC).min(RESYNC))
    }

    async fn sentinel(&self) -> Result<Option<Sentinel>, BoxError> {
        let Some(data) = self.0.sentinel_data.get() else {
            return Ok(None);
        };
        let mut sentinel = self.0.sentinel.lock().await;
        if sentinel.is_none() {
            *sentinel = Some(Sentinel::open(data).await?);
        }
        Ok(sentinel.clone())
    }

    /// Has every change of a value wake the loop.
    fn watch<T: jazz::CoValue>(&self, value: &Co<T>) {
        if !self.0.watched.lock().insert(value.id().clone()) {
            return;
        }
        let mut changes = value.node().driver().watch(value.id());
        let (engine, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        tokio::spawn(async move {
            while stop.run_until_cancelled(changes.changed()).await.is_some() {
                let Some(engine) = engine.upgrade() else { return };
                engine.wake.notify_one();
            }
        });
    }
}

fn report(what: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error, "{what}");
}

/// What planning needs to know of a replica.
pub fn existing(replica: &LoadedReplica) -> Existing {
    Existing {
        id: replica.record.id,
        name: replica.record.name.clone(),
        identity: replica.record.identity.clone(),
        implementations: replica.record.implementations.clone(),
        info: replica.record.info.clone(),
        last_version: replica.versions.keys().next_back().copied().unwrap_or(0),
    }
}

/// The name and the requirement of a replica that can't do without another one.
fn needs(replica: &LoadedReplica, id: ReplicaId) -> Option<(String, String)> {
    let version = replica.current()?;
    let requirements: &BTreeMap<String, Vec<ReplicaId>> = &version.requirements;
    let (key, _) = requirements.iter().find(|(key, chosen)| {
        let optional = version
            .manifest
            .requirements
            .get(*key)
            .is_some_and(|required| required.optional);
        chosen.as_slice() == [id] && !optional && replica.record.id != id
    })?;
    Some((replica.record.name.clone(), key.clone()))
}
