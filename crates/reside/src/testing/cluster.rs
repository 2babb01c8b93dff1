//! The cluster in memory: it does by hand what Alpha does by load requests.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jazz::{AccountId, Co, Credentials, Group, LocalServer, Node, Role, Timestamp};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{AccessContext, NetworkConfig},
    contract::{BoxError, Contract, Permission, RunResult},
    definition::ReplicaDefinition,
    directory::NodeDirectory,
    identity::Identity,
    locks::{Locks, MemoryLocks},
    manifest::ReplicaManifest,
    profile::{Endpoints, Profile},
    provider::{Connector, Provider},
    rcb::{ControlBlock, Expected, Grant, PermissionEntry},
    replica::Replica,
    requests::{RequestStatus, RequestedPermission},
    rpc::{InMemoryTransport, RpcClient, RpcServer},
    start::{Launch, settle},
};

use super::requests::Requests;

/// How long a change may take to arrive, and to be carried out.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster in memory.
///
/// Its clock runs with tokio's time, so that a test may pause it and let permissions expire.
pub struct Cluster {
    server: LocalServer,
    transport: InMemoryTransport,
    clock: Clock,
    locks: Locks,
    /// Does what Alpha does: owns the control blocks.
    admin: Node,
    instances: Mutex<HashMap<AccountId, Arc<Instance>>>,
    /// Counts starts: a replica is reached elsewhere after each.
    starts: AtomicU64,
    /// The names of all replicas there ever were, by their number.
    names: Mutex<Vec<String>>,
    requests: Arc<Requests>,
}

/// What the cluster keeps of a replica, running or not.
struct Instance {
    name: String,
    credentials: Credentials,
    control_block: Co<ControlBlock>,
    implements: Vec<Identity>,
}

/// A replica in the cluster.
pub struct TestReplica {
    instance: Arc<Instance>,
    replica: Replica,
    shutdown: CancellationToken,
    task: Mutex<Option<JoinHandle<RunResult>>>,
}

/// Somebody in the cluster who isn't a replica.
pub struct TestAccount {
    connector: Connector,
    node: Node,
}

impl Cluster {
    /// Makes an empty cluster.
    pub async fn new() -> Result<Self, BoxError> {
        let server = LocalServer::new();
        let admin = Node::builder()
            .local_server(&server)
            .create_account("admin")
            .connect()
            .await?;
        let (transport, clock) = (InMemoryTransport::default(), Clock::tokio());
        let requests = Requests::new(admin.clone(), clock);
        serve_requests(&admin, &transport, &requests).await?;
        Ok(Self {
            server,
            transport,
            clock,
            locks: Locks::new(MemoryLocks::default()),
            admin,
            instances: Mutex::default(),
            starts: AtomicU64::new(0),
            names: Mutex::default(),
            requests,
        })
    }

    /// Adds a replica and starts it: with an account and a control block of its own, its requirements served by the
    /// replicas that were added before, and the permissions it asks them for granted.
    pub async fn add<F, Fut>(&self, definition: ReplicaDefinition, run: F) -> Result<TestReplica, BoxError>
    where
        F: FnOnce(Replica) -> Fut,
        Fut: Future<Output = RunResult> + Send + 'static,
    {
        let manifest = definition.manifest()?;
        let (id, name) = self.take_name(&manifest.info.name)?;
        let account = Node::builder()
            .local_server(&self.server)
            .create_account(&name)
            .connect()
            .await?;
        account.wait_for_sync(APPLY_TIMEOUT).await?;
        let credentials = account.credentials().ok_or("the node was logged out")?;
        account.shutdown().await;
        let group = self.control_block_group(&credentials.account_id).await?;
        let control_block = ControlBlock::open(&self.admin, &group, id, &name).await?;
        let implements = manifest
            .implementations
            .values()
            .map(|implementation| implementation.identity.clone());
        let implements = implements.collect();
        let instance = Arc::new(Instance {
            name,
            credentials,
            control_block,
            implements,
        });
        self.start(instance, definition, run).await
    }

    /// Stops a replica, unless it has ended already, and starts it again, maybe as another version of itself.
    pub async fn restart<F, Fut>(
        &self,
        replica: TestReplica,
        definition: ReplicaDefinition,
        run: F,
    ) -> Result<TestReplica, BoxError>
    where
        F: FnOnce(Replica) -> Fut,
        Fut: Future<Output = RunResult> + Send + 'static,
    {
        let instance = replica.instance.clone();
        replica.stop().await?;
        self.start(instance, definition, run).await
    }

    async fn start<F, Fut>(
        &self,
        instance: Arc<Instance>,
        definition: ReplicaDefinition,
        run: F,
    ) -> Result<TestReplica, BoxError>
    where
        F: FnOnce(Replica) -> Fut,
        Fut: Future<Output = RunResult> + Send + 'static,
    {
        let mut manifest = definition.manifest()?;
        manifest.fill_replica_name(&instance.name);
        self.connect(&instance, &manifest).await?;
        let id = instance.control_block.get()?.id;
        self.requests
            .introduce(&instance.credentials.account_id, id, &manifest);
        self.admin.wait_for_sync(APPLY_TIMEOUT).await?;

        let credentials = instance.credentials.clone();
        let node = Node::builder()
            .local_server(&self.server)
            .account(credentials)
            .connect()
            .await?;
        let shutdown = CancellationToken::new();
        let endpoint = format!("memory://{}", self.starts.fetch_add(1, Ordering::Relaxed));
        let launch = Launch {
            node,
            control_block: instance.control_block.id().clone(),
            network: NetworkConfig {
                internal_endpoint: Some(endpoint.clone()),
                ..NetworkConfig::default()
            },
            transport: Arc::new(self.transport.clone()),
            clock: self.clock,
            locks: self.locks.clone(),
            sync_server: self.server.clone().into(),
            shutdown: shutdown.clone(),
        };
        let running = launch.start(&definition).await?;
        let replica = running.replica().clone();
        replica.node().wait_for_sync(APPLY_TIMEOUT).await?;
        self.transport.add(&endpoint, &instance.name, running.router());
        self.instances
            .lock()
            .insert(instance.credentials.account_id.clone(), instance.clone());
        let ended = running.run(run(replica.clone()));
        let (transport, name) = (self.transport.clone(), instance.name.clone());
        let task = tokio::spawn(async move {
            let result = ended.await;
            transport.remove(&endpoint, &name);
            result
        });
        Ok(TestReplica {
            instance,
            replica,
            shutdown,
            task: Mutex::new(Some(task)),
        })
    }

    /// Makes an account that isn't a replica.
    pub async fn account(&self, name: &str) -> Result<TestAccount, BoxError> {
        let node = Node::builder()
            .local_server(&self.server)
            .create_account(name)
            .connect()
            .await?;
        node.wait_for_sync(APPLY_TIMEOUT).await?;
        let Credentials {
            account_id,
            agent_secret,
        } = node.credentials().ok_or("the node was logged out")?;
        let directory = Arc::new(NodeDirectory::new(node.clone()));
        let rpc = RpcClient::new(
            account_id,
            agent_secret,
            directory,
            Arc::new(self.transport.clone()),
        );
        let connector = Connector::new(node.clone(), rpc, AccessContext::Internal, self.clock);
        Ok(TestAccount { connector, node })
    }

    /// Grants a permission at a replica and waits until the replica has carried it out.
    pub async fn grant<P: Permission>(
        &self,
        replica: &TestReplica,
        account: &AccountId,
        permission: &P,
    ) -> Result<(), BoxError> {
        let entry = self
            .expect(
                replica,
                account,
                permission,
                Expected::granted(permission.params()?),
            )
            .await?;
        self.wait_until_settled(&entry).await
    }

    /// Grants a permission that ends by itself, and waits until the replica has carried it out.
    pub async fn grant_for<P: Permission>(
        &self,
        replica: &TestReplica,
        account: &AccountId,
        permission: &P,
        period: Duration,
    ) -> Result<(), BoxError> {
        let end = self
            .clock
            .now()
            .0
            .saturating_add(period.as_millis().try_into().unwrap_or(u64::MAX));
        let expected = Expected {
            expires_at: Some(Timestamp(end)),
            ..Expected::granted(permission.params()?)
        };
        let entry = self.expect(replica, account, permission, expected).await?;
        self.wait_until_settled(&entry).await
    }

    /// Takes a permission away and waits until the replica has carried it out.
    pub async fn revoke<P: Permission>(
        &self,
        replica: &TestReplica,
        account: &AccountId,
        permission: &P,
    ) -> Result<(), BoxError> {
        let entry = self
            .expect(
                replica,
                account,
                permission,
                Expected::revoked(permission.params()?),
            )
            .await?;
        self.wait_until_settled(&entry).await
    }

    /// Waits until a replica has asked for a permission at run time, and returns the request.
    pub async fn wait_for_request<P: Permission>(
        &self,
        asking: &TestReplica,
    ) -> Result<Co<RequestedPermission>, BoxError> {
        let asked = self.requests.wait_for(asking.account_id(), P::NAME);
        match tokio::time::timeout(APPLY_TIMEOUT, asked).await {
            Ok(request) => request,
            Err(_) => Err(format!("{} was not asked for", P::NAME).into()),
        }
    }

    /// Approves what a replica has asked for at run time, as an administrator would.
    pub async fn approve_request<P: Permission>(
        &self,
        request: &Co<RequestedPermission>,
        granting: &TestReplica,
    ) -> Result<(), BoxError> {
        let asked = request.get()?;
        let permission: P = serde_json::from_value(asked.params.into())?;
        request.update(|request| request.status = RequestStatus::Approved)?;
        self.grant(granting, &asked.account, &permission).await
    }

    /// Refuses what a replica has asked for at run time.
    pub fn reject_request(&self, request: &Co<RequestedPermission>, reason: &str) -> Result<(), BoxError> {
        Ok(request.update(|request| {
            request.status = RequestStatus::Rejected;
            request.refusal_reason = Some(reason.to_owned());
        })?)
    }

    /// Says what a permission should be, without waiting for the replica.
    pub async fn expect<P: Permission>(
        &self,
        replica: &TestReplica,
        account: &AccountId,
        permission: &P,
        expected: Expected,
    ) -> Result<Co<PermissionEntry>, BoxError> {
        let grant = Grant::of(account, permission)?;
        ControlBlock::expect(&replica.instance.control_block, &grant, expected).await
    }

    /// Waits until a replica has carried out what is expected of a permission.
    pub async fn wait_until_settled(&self, entry: &Co<PermissionEntry>) -> Result<(), BoxError> {
        let mut changes = entry.subscribe();
        let settled = changes.wait_for(|entry| entry.is_settled(self.clock.now()));
        match tokio::time::timeout(APPLY_TIMEOUT, settled).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("the permission was not carried out: {:?}", entry.get()).into()),
        }
    }

    /// Returns the time of day in the cluster.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Chooses who serves the requirements of a replica and grants what it asks them for.
    async fn connect(&self, instance: &Instance, manifest: &ReplicaManifest) -> Result<(), BoxError> {
        for (key, requirement) in &manifest.requirements {
            let serving: Vec<_> = {
                let instances = self.instances.lock();
                let mut serving: Vec<_> = instances
                    .values()
                    .filter(|other| other.implements.contains(&requirement.identity))
                    .cloned()
                    .collect();
                serving.sort_by_key(|other| other.name.clone());
                serving.truncate(if requirement.multiple { usize::MAX } else { 1 });
                serving
            };
            if serving.is_empty() && !requirement.optional {
                return Err(format!(
                    "nobody implements {}: add such a replica first",
                    requirement.identity
                )
                .into());
            }
            let accounts = serving
                .iter()
                .map(|other| other.credentials.account_id.clone())
                .collect();
            ControlBlock::set_requirement(&instance.control_block, key, &accounts).await?;
            for asked in &requirement.permissions {
                let grant = Grant {
                    account: instance.credentials.account_id.clone(),
                    identity: requirement.identity.clone(),
                    name: asked.name.clone(),
                    instance_id: asked.instance_id.clone(),
                };
                for other in &serving {
                    let expected = Expected::granted(asked.params.clone());
                    ControlBlock::expect(&other.control_block, &grant, expected).await?;
                }
            }
        }
        Ok(())
    }

    async fn control_block_group(&self, replica: &AccountId) -> Result<Group, BoxError> {
        let group = self.admin.create_group()?;
        group.add_member(replica, Role::Writer).await?;
        Ok(group)
    }

    /// Takes the next number and a name that nobody has.
    fn take_name(&self, wanted: &str) -> Result<(u32, String), BoxError> {
        let mut names = self.names.lock();
        let numbered = (1..=names.len()).map(|number| format!("{wanted}-{number}"));
        let name = std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !names.contains(name));
        let name = name.ok_or("no name is free")?;
        names.push(name.clone());
        Ok((u32::try_from(names.len())?, name))
    }
}

/// Has Alpha's account take requests for permissions.
async fn serve_requests(
    admin: &Node,
    transport: &InMemoryTransport,
    requests: &Arc<Requests>,
) -> Result<(), BoxError> {
    let endpoint = "memory://alpha";
    let endpoints = Endpoints {
        internal: Some(endpoint.to_owned()),
        external: None,
    };
    Profile::open(admin, "alpha", 0, endpoints).await?;
    let Credentials {
        account_id,
        agent_secret,
    } = admin.credentials().ok_or("the node was logged out")?;
    let methods = requests.dispatch();
    let server = RpcServer::new(
        "alpha".to_owned(),
        account_id,
        agent_secret,
        vec![methods.contract().clone()],
        Arc::new(NodeDirectory::new(admin.clone())),
        settle(admin.clone()),
    );
    server.serve(methods);
    transport.add(endpoint, "alpha", server.router());
    Ok(())
}

impl TestReplica {
    /// Returns the replica as its own code sees it.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Returns the replica's account.
    pub fn account_id(&self) -> &AccountId {
        &self.instance.credentials.account_id
    }

    /// Returns the control block as its administrator sees it.
    pub fn control_block(&self) -> &Co<ControlBlock> {
        &self.instance.control_block
    }

    /// Waits until the replica has ended; returns what its own code ended with, the first time.
    pub async fn finished(&self) -> RunResult {
        let task = self.task.lock().take();
        match task {
            Some(task) => task.await?,
            None => Ok(()),
        }
    }

    /// Stops the replica as a signal would; returns what its own code ended with.
    pub async fn stop(&self) -> RunResult {
        self.shutdown.cancel();
        self.finished().await
    }
}

impl TestAccount {
    /// Returns the account.
    pub fn id(&self) -> &AccountId {
        self.node.account_id()
    }

    /// Returns the node that is logged into the account.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns what uses replicas in the name of the account.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Returns the replica as a consumer sees it.
    pub fn provider<C: Contract>(&self, replica: &TestReplica) -> Provider<C> {
        self.connector.provider(replica.account_id().clone())
    }

    /// Returns a client that calls the replica in the name of the account.
    pub fn client<C: Contract>(&self, replica: &TestReplica) -> C::Client {
        self.provider::<C>(replica).client()
    }
}
