//! Starting a replica from what it was told, and stopping it without losing anything.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse};
use futures::FutureExt;
use indexmap::IndexMap;
use jazz::{AccountId, Co, CoId, CoRecord, Credentials, Node, Ref, request::Receiver};
use parking_lot::RwLock;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower::ServiceExt;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    config::NetworkConfig,
    contract::{BoxError, RunResult},
    definition::{DefinitionError, ReplicaDefinition},
    directory::NodeDirectory,
    failures::HandlerFailures,
    grants::GrantTable,
    implementation::Implementations,
    locks::Locks,
    manifest::{ReplicaClass, RequirementManifest},
    profile::{Endpoints, Profile},
    provider::Connector,
    rcb::{ControlBlock, PermissionEntry, UserPermissions},
    reconcile::{self, Reconciler},
    replica::{Inner, Replica},
    requirement::served_by,
    rpc::{RpcClient, RpcError, RpcServer, Settle, Transport},
    session::{Sessions, SyncServer},
};

/// How long what a method wrote may take to be stored before its caller gets an error instead of an answer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls under way, and the replica's own code, may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the last writes may take to be stored.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// What a replica starts from; `start_replica` fills it from the environment, the in-memory cluster by itself.
pub struct Launch {
    /// A node that is logged into the replica's account.
    pub node: Node,
    /// Id of the control block.
    pub control_block: CoId,
    /// How the replica is reached and reaches others.
    pub network: NetworkConfig,
    /// What carries calls.
    pub transport: Arc<dyn Transport>,
    /// The time of day.
    pub clock: Clock,
    /// Keeps others from doing the same work at once.
    pub locks: Locks,
    /// Where other accounts are logged in.
    pub sync_server: SyncServer,
    /// Cancelled when the replica shall stop.
    pub shutdown: CancellationToken,
}

/// Why a replica can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The definition breaks the rules.
    #[error("the definition of the replica is not valid")]
    Definition(#[from] DefinitionError),
    /// The control block can't be loaded.
    #[error("the control block {id} can't be loaded")]
    ControlBlock {
        /// Its id.
        id: CoId,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// A requirement that isn't optional is served by nobody.
    #[error("no replica serves the requirement `{0}`")]
    NotServed(String),
    /// The node acts for no account any more.
    #[error("the node was logged out")]
    LoggedOut,
    /// The account's profile can't be opened.
    #[error("the profile of the account can't be opened")]
    Profile(#[source] BoxError),
    /// The data of a contract can't be made or migrated.
    #[error("the data of {contract} can't be prepared")]
    Data {
        /// Identity of the contract.
        contract: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

/// The last writes were not stored in time; they may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the last writes were not stored within {} s", FLUSH_TIMEOUT.as_secs())]
pub struct NotFlushed;

/// A replica that was started.
pub struct Running {
    replica: Replica,
    reconciliation: AbortOnDropHandle<()>,
    listens: bool,
}

impl Launch {
    /// Starts the replica: loads its control block, connects its requirements, prepares the data of its contracts, and
    /// starts the permission reconciliation. Its own code is the caller's to run.
    pub async fn start(self, definition: &ReplicaDefinition) -> Result<Running, StartError> {
        let mut manifest = definition.manifest()?;
        let id = self.control_block.clone();
        let opened = OpenBlock::load(&self.node, &self.control_block).await;
        let OpenBlock {
            control_block,
            block,
            served_by,
            permissions,
            users,
            failures,
        } = opened.map_err(|source| StartError::ControlBlock { id, source })?;
        manifest.fill_replica_name(&block.name);

        let directory = Arc::new(NodeDirectory::new(self.node.clone()));
        let Credentials {
            account_id,
            agent_secret,
        } = self.node.credentials().ok_or(StartError::LoggedOut)?;
        let sessions = Sessions {
            sync_server: self.sync_server,
            transport: self.transport.clone(),
            access: self.network.access_context,
            clock: self.clock,
        };
        let rpc = RpcClient::new(
            account_id.clone(),
            agent_secret.clone(),
            directory.clone(),
            self.transport.clone(),
        );
        let connector = Connector::new(self.node.clone(), rpc, self.network.access_context, self.clock);
        connect_requirements(&connector, &manifest.requirements, &served_by).await?;

        let endpoints = Endpoints {
            internal: self.network.internal_endpoint,
            external: self.network.external_endpoint,
        };
        let profile = Profile::open(&self.node, &block.name, block.id, endpoints)
            .await
            .map_err(StartError::Profile)?;
        let implementations = Arc::new(prepare(definition, &self.node, &profile).await?);
        let grants = Arc::new(GrantTable::new(self.clock, users));
        // Checks look into the table that this fills: no call may come before it.
        let reconciler = Reconciler::open(reconcile::Context {
            node: self.node.clone(),
            permissions,
            index: profile.grants.clone(),
            implementations: implementations.clone(),
            table: grants.clone(),
            failures,
        })
        .await;
        let with_methods = definition
            .implementations
            .iter()
            .filter(|(_, spec)| (spec.has_methods)());
        let with_methods: Vec<_> = with_methods.map(|(_, spec)| spec.identity()).collect();
        let listens = !with_methods.is_empty() || manifest.info.class == ReplicaClass::LongRunning;
        let server = RpcServer::new(
            block.name.clone(),
            account_id,
            agent_secret,
            with_methods,
            directory,
            settle(self.node.clone()),
        );
        server.accept_jazz_form(Receiver::new(&self.node));
        let replica = Replica(Arc::new(Inner {
            node: self.node,
            id: block.id,
            name: block.name,
            manifest,
            control_block,
            served_by,
            profile,
            implementations,
            grants,
            connector,
            sessions,
            locks: self.locks,
            server,
            routes: RwLock::new(None),
            shutdown: self.shutdown,
        }));
        info!(replica = replica.name(), id = replica.id(), account = %replica.account_id(), "the replica starts");
        let reconciliation = AbortOnDropHandle::new(tokio::spawn(reconciler.run()));
        Ok(Running {
            replica,
            reconciliation,
            listens,
        })
    }
}

/// A control block with the records it refers to.
struct OpenBlock {
    control_block: Co<ControlBlock>,
    block: ControlBlock,
    served_by: Co<CoRecord<Vec<AccountId>>>,
    permissions: Co<CoRecord<Ref<PermissionEntry>>>,
    users: UserPermissions,
    failures: HandlerFailures,
}

impl OpenBlock {
    async fn load(node: &Node, id: &CoId) -> Result<Self, BoxError> {
        let control_block = node.load(&Ref::<ControlBlock>::new(id.clone())).await?;
        let block = control_block.get()?;
        let (served_by, permissions) =
            tokio::try_join!(node.load(&block.requirements), node.load(&block.permissions))?;
        let users = UserPermissions::open(&control_block).await?;
        let failures = HandlerFailures::open(&control_block).await?;
        Ok(Self {
            control_block,
            block,
            served_by,
            permissions,
            users,
            failures,
        })
    }
}

/// Checks that somebody serves each requirement, and loads the profiles of those who do, so that later uses are quick
/// and notice changes. A replica that can't be reached now may come back.
async fn connect_requirements(
    connector: &Connector,
    requirements: &IndexMap<String, RequirementManifest>,
    accounts: &Co<CoRecord<Vec<AccountId>>>,
) -> Result<(), StartError> {
    for (key, requirement) in requirements {
        let accounts = served_by(accounts, key);
        if accounts.is_empty() && !requirement.optional {
            return Err(StartError::NotServed(key.clone()));
        }
        for account in accounts {
            if let Err(error) = connector.profile(&account).await {
                warn!(
                    error = &error as &dyn Error,
                    key, "a replica that serves a requirement is not known yet"
                );
            }
        }
    }
    Ok(())
}

async fn prepare(
    definition: &ReplicaDefinition,
    node: &Node,
    profile: &Profile,
) -> Result<Implementations, StartError> {
    let mut implementations = Implementations::new();
    for (_, spec) in &definition.implementations {
        let contract = spec.identity();
        let prepared = (spec.prepare)(node, profile).await;
        let prepared = prepared.map_err(|source| StartError::Data {
            contract: contract.to_string(),
            source,
        })?;
        implementations.insert(contract, prepared);
    }
    Ok(implementations)
}

/// An answer leaves only when what the method wrote is stored.
pub(crate) fn settle(node: Node) -> Settle {
    Arc::new(move || {
        let node = node.clone();
        async move {
            node.wait_for_sync(SETTLE_TIMEOUT)
                .await
                .map_err(RpcError::internal)
        }
        .boxed()
    })
}

impl Running {
    /// Returns the replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Tells whether somebody connects: callers, if a contract has methods, and the readiness probe of every long-running
    /// replica, which is how its orchestrator learns that it has started.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Returns the routes below `/replicas/{name}/`: the methods, the readiness probe, and the replica's own.
    pub fn router(&self) -> Router {
        let replica = self.replica.clone();
        let own = move |request: Request| {
            let routes = replica.0.routes.read().clone();
            async move {
                match routes {
                    Some(routes) => routes.oneshot(request).await.into_response(),
                    None => StatusCode::NOT_FOUND.into_response(),
                }
            }
        };
        let own = Router::new().nest(
            &format!("/replicas/{}", self.replica.name()),
            Router::new().fallback(own),
        );
        self.replica.0.server.router().merge(own)
    }

    /// Runs the replica's own code until it ends or the replica shall stop, then stops everything: no new calls are
    /// taken, those under way are finished, and the last writes are stored. The own code gets some seconds to end.
    pub async fn run(self, own: impl Future<Output = RunResult> + Send + 'static) -> RunResult {
        let Self {
            replica,
            reconciliation,
            ..
        } = self;
        let inner = &replica.0;
        let mut own = AbortOnDropHandle::new(tokio::spawn(own));
        let mut ended = tokio::select! {
            result = &mut own => Some(result),
            () = replica.shutdown_requested() => None,
        };
        info!(replica = replica.name(), "the replica stops");
        inner.shutdown.cancel();
        let stopped = async {
            tokio::join!(inner.server.drain(), async {
                if ended.is_none() {
                    ended = Some((&mut own).await);
                }
            })
        };
        if tokio::time::timeout(STOP_TIMEOUT, stopped).await.is_err() {
            warn!(
                "calls or the replica's own code did not end within {} s",
                STOP_TIMEOUT.as_secs()
            );
        }
        drop((own, reconciliation));
        let flushed = inner.node.wait_for_sync(FLUSH_TIMEOUT).await;
        inner.node.shutdown().await;
        // The replica's own error says more than what followed from it.
        if let Some(ended) = ended {
            ended??;
        }
        flushed.map_err(|_| NotFlushed)?;
        Ok(())
    }
}
