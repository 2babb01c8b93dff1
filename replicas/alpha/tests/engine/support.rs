//! A cluster of which only Alpha is real: a sync server, images, the sentinel's collections, and Alpha's engine, which
//! may be killed and started again.

use std::sync::Arc;

use alpha::{Accounts, ClusterSettings, Engine, Setup};
use alpha_v1::{
    ApproveLoadRequest, ApprovedLoadRequest, CreateLoadRequest, LoadRequest, LoadRequestStatus,
    ManagementBlock, ReplicaId, ReplicaRecord, ReplicaVersion,
};
use futures::future::BoxFuture;
use jazz::{CoId, Credentials, LocalServer, NodeBuilder};
use kubernetes_sentinel_v1::{Kind, ManagedObject, ObjectStatus, SentinelData};
use parking_lot::Mutex;
use reside::config::NetworkConfig;
use reside::locks::{Locks, MemoryLocks};
use reside::prelude::*;
use reside::rpc::InMemoryTransport;
use reside::{Clock, Launch, Running};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::images::{Images, contract, greeter};
use crate::wire::Wire;

pub const SOON: std::time::Duration = std::time::Duration::from_secs(10);

/// What outlives Alpha.
pub struct World {
    pub server: LocalServer,
    pub images: Arc<Images>,
    pub accounts: Arc<TestAccounts>,
    pub credentials: Credentials,
    pub control_block: Ref<ControlBlock>,
    /// Somebody who isn't a replica.
    pub manager: Credentials,
    /// One for all: time is paused and moved.
    pub clock: Clock,
    sentinel: Ref<SentinelData>,
}

/// Makes accounts at the server, and remembers which.
pub struct TestAccounts {
    server: LocalServer,
    pub made: Mutex<Vec<AccountId>>,
}

impl Accounts for TestAccounts {
    fn ensure(&self, credentials: Credentials, name: String) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let account = credentials.account_id.clone();
            let connecting = Node::builder()
                .local_server(&self.server)
                .account_or_create(credentials, name);
            let node = connecting.connect().await?;
            node.wait_for_sync(SOON).await?;
            node.shutdown().await;
            let mut made = self.made.lock();
            if !made.contains(&account) {
                made.push(account);
            }
            Ok(())
        })
    }
}

/// A running Alpha.
pub struct Alpha {
    pub engine: Engine,
    pub wire: Wire,
    pub sentinel: Co<SentinelData>,
    pub stop: CancellationToken,
    running: Running,
}

fn settings() -> ClusterSettings {
    ClusterSettings {
        sync_server_url: "ws://sync".into(),
        internal_endpoint: "http://{replica.name}".into(),
        external_endpoint: None,
        image_store: None,
    }
}

impl World {
    /// Makes what the bootstrap makes before there is an Alpha.
    pub async fn new() -> Self {
        let server = LocalServer::new();
        let node = connect(Node::builder().local_server(&server).create_account("alpha")).await;
        let group = node.create_group().unwrap();
        let block = ControlBlock::open(&node, &group, 1, "alpha").await.unwrap();
        let served_by = vec![node.account_id().clone()];
        ControlBlock::set_requirement(&block, "sentinel", &served_by)
            .await
            .unwrap();
        let data = SentinelData::init(&node, &group).await.unwrap();
        let sentinel = node.create(&group, data).unwrap().reference();
        node.wait_for_sync(SOON).await.unwrap();
        let credentials = node.credentials().unwrap();
        node.shutdown().await;
        let manager = connect(Node::builder().local_server(&server).create_account("manager")).await;
        let accounts = TestAccounts {
            server: server.clone(),
            made: Mutex::default(),
        };
        Self {
            server,
            images: Arc::default(),
            accounts: Arc::new(accounts),
            credentials,
            control_block: block.reference(),
            manager: manager.credentials().unwrap(),
            clock: Clock::tokio(),
            sentinel,
        }
    }

    /// Another world that is as this one is now, and goes its own way.
    pub fn fork(&self) -> Self {
        let logs: Vec<_> = self
            .server
            .driver()
            .with(|node, _| node.values().iter().cloned().collect());
        let server = LocalServer::new();
        server.driver().with(|node, _| {
            for log in logs {
                node.values_mut().insert_log(log);
            }
        });
        let accounts = TestAccounts {
            server: server.clone(),
            made: Mutex::new(self.accounts.made.lock().clone()),
        };
        Self {
            server,
            images: self.images.clone(),
            accounts: Arc::new(accounts),
            credentials: self.credentials.clone(),
            control_block: self.control_block.clone(),
            manager: self.manager.clone(),
            clock: self.clock,
            sentinel: self.sentinel.clone(),
        }
    }

    /// Starts Alpha from what the server has.
    pub async fn alpha(&self) -> Alpha {
        let node = self.log_in(self.credentials.clone()).await;
        let wire = Wire::replace(&node, &self.server);
        let stop = CancellationToken::new();
        let launch = Launch {
            node: node.clone(),
            control_block: self.control_block.id().clone(),
            network: NetworkConfig::default(),
            transport: Arc::new(InMemoryTransport::default()),
            clock: self.clock,
            locks: Locks::new(MemoryLocks::default()),
            sync_server: self.server.clone().into(),
            shutdown: stop.clone(),
        };
        let running = launch.start(&alpha::definition()).await.unwrap();
        let setup = self.setup(&running).await;
        setup.close();
        let replica = running.replica();
        let engine = Engine::open(replica, self.images.clone(), self.accounts.clone(), stop.clone())
            .await
            .unwrap();
        let sentinel = node.load(&self.sentinel).await.unwrap();
        engine.use_sentinel(sentinel.clone());
        node.wait_for_sync(SOON).await.unwrap();
        Alpha {
            engine,
            wire,
            sentinel,
            stop,
            running,
        }
    }

    pub async fn setup(&self, running: &Running) -> Setup {
        Setup::open(
            running.replica(),
            settings(),
            self.images.clone(),
            self.accounts.clone(),
        )
        .await
        .unwrap()
    }

    /// Another node, logged into this account.
    pub async fn log_in(&self, credentials: Credentials) -> Node {
        connect(Node::builder().local_server(&self.server).account(credentials)).await
    }
}

async fn connect(connecting: NodeBuilder) -> Node {
    let node = connecting.connect().await.unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    node
}

/// A world with an Alpha in it.
pub async fn cluster() -> (World, Alpha) {
    let world = World::new().await;
    let alpha = world.alpha().await;
    (world, alpha)
}

/// A world with an Alpha in it that has loaded the greeter.
pub async fn cluster_with_greeter() -> (World, Alpha) {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    alpha.load(&world.images.publish(&greeter())).await;
    (world, alpha)
}

/// What is asked for when nothing but the image matters.
pub fn asking(image: &str) -> CreateLoadRequest {
    CreateLoadRequest {
        image: image.into(),
        replica_id: None,
        name: None,
        owner_id: None,
    }
}

/// An approval without choices.
pub fn approval(id: u32) -> ApproveLoadRequest {
    ApproveLoadRequest {
        load_request_id: id,
        requirement_replica_ids: Default::default(),
        expires_at: None,
    }
}

impl Alpha {
    pub fn node(&self) -> &Node {
        self.running.replica().node()
    }

    pub fn running(&self) -> &Running {
        &self.running
    }

    pub fn me(&self) -> AccountId {
        self.node().account_id().clone()
    }

    /// Stops Alpha without a chance to send anything more.
    pub async fn kill(self) {
        self.crash().await;
    }

    /// The same, for who still holds it.
    pub async fn crash(&self) {
        self.wire.cut_after(0);
        self.stop.cancel();
        self.node().shutdown().await;
    }

    /// Stops Alpha once the server has everything.
    pub async fn shutdown(self) {
        self.node().wait_for_sync(SOON).await.unwrap();
        self.kill().await;
    }

    /// Does all that is to be done.
    pub async fn settle(&self) {
        self.try_settle().await.unwrap();
    }

    /// Does all that is to be done, as far as it goes.
    pub async fn try_settle(&self) -> Result<(), BoxError> {
        for (_, request) in self.engine.state().all_load_requests().await? {
            if request.status == LoadRequestStatus::Validating {
                self.engine.validate_request(request.id).await?;
            }
        }
        self.engine.reconcile().await.map(drop)
    }

    /// Registers a request and has it validated.
    pub async fn ask(&self, asked: CreateLoadRequest) -> LoadRequest {
        let id = self.engine.create_load_request(&self.me(), asked).await.unwrap();
        self.settle().await;
        self.request(id).await
    }

    pub async fn request(&self, id: u32) -> LoadRequest {
        let request = self.engine.state().load_request(id).await.unwrap();
        request.expect("the request exists").get().unwrap()
    }

    /// Waits until a request has come so far.
    pub async fn until(&self, id: u32, come: impl Fn(&LoadRequest) -> bool) -> LoadRequest {
        let request = self.engine.state().load_request(id).await.unwrap();
        let mut changes = request.expect("the request exists").subscribe();
        changes.wait_for(come).await.expect("the node runs").unwrap()
    }

    /// Asks for an image that can't be loaded; returns why.
    pub async fn refused(&self, asked: CreateLoadRequest) -> String {
        let request = self.ask(asked).await;
        assert_eq!(request.status, LoadRequestStatus::Invalid, "{request:?}");
        assert_eq!(request.validated, None);
        request.error_message.expect("an invalid request says why")
    }

    /// Approves and carries out.
    pub async fn approve(&self, approval: ApproveLoadRequest) -> ApprovedLoadRequest {
        let approved = self.engine.approve(&self.me(), approval).await.unwrap();
        self.settle().await;
        approved
    }

    /// Loads an image.
    pub async fn load(&self, image: &str) -> ApprovedLoadRequest {
        self.load_as(asking(image)).await
    }

    pub async fn load_as(&self, asked: CreateLoadRequest) -> ApprovedLoadRequest {
        let request = self.ask(asked).await;
        assert_eq!(request.error_message, None);
        self.approve(approval(request.id)).await
    }

    pub async fn record(&self, id: ReplicaId) -> ReplicaRecord {
        let replica = self.engine.state().replica(id).await.unwrap();
        replica.expect("the replica exists").record
    }

    pub async fn management(&self, id: ReplicaId) -> Co<ManagementBlock> {
        self.node().load(&self.record(id).await.management).await.unwrap()
    }

    pub async fn version(&self, id: ReplicaId, version: u32) -> ReplicaVersion {
        let replica = self.engine.state().replica(id).await.unwrap();
        replica.expect("the replica exists").versions[&version].1.clone()
    }

    // The sentinel's part.

    /// Returns an object of the orchestrator, whether it is wished for or not.
    pub async fn object(&self, kind: Kind, name: &str) -> Option<Co<ManagedObject>> {
        let data = self.sentinel.get().unwrap();
        let collection = self.node().load(data.collection(kind)).await.unwrap();
        let reference = collection.get(name).unwrap()?;
        Some(self.node().load(&reference).await.unwrap())
    }

    /// Returns the manifest that is wished for.
    pub async fn manifest(&self, kind: Kind, name: &str) -> Option<Value> {
        self.object(kind, name).await?.get().unwrap().manifest
    }

    /// How many processes a Deployment should have; `None`: it isn't wished for.
    pub async fn scale(&self, name: &str) -> Option<u64> {
        self.manifest(Kind::Deployment, name).await?["spec"]["replicas"].as_u64()
    }

    /// Reports a status of a workload, as a sentinel that has applied its manifest.
    pub async fn report(&self, kind: Kind, name: &str, status: Value) {
        let object = self.object(kind, name).await.expect("the object exists");
        object
            .update(|object| {
                let mut live = object.manifest.clone().unwrap_or_default();
                live["status"] = status;
                object.live = Some(live);
                object.status = ObjectStatus::Updated;
            })
            .unwrap();
        self.settle().await;
    }

    /// The ids of all values that the node holds for one of the lookups.
    pub async fn found(&self, key: alpha_v1::ReplicaKey<'_>) -> Vec<ReplicaId> {
        let data = &self.engine.state().data;
        alpha_v1::find_replicas(data, &key).await.unwrap()
    }
}

/// Tells the ids of all values at a server that hold anything, groups and accounts left out.
pub fn values_at(server: &LocalServer) -> Vec<CoId> {
    use cojson::header::Kind;
    server.driver().with(|node, _| {
        let with_content = node.values().iter().filter(|log| {
            let is_container = matches!(log.header().kind(), Kind::Account | Kind::Group);
            !is_container && log.sessions().values().any(|session| !session.is_empty())
        });
        with_content.map(|log| log.id().clone()).collect()
    })
}
