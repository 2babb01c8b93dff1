//! What a replica's own code is handed: its account, its contracts, its requirements, and the wish to stop.

use std::{fmt, marker::PhantomData, sync::Arc};

use jazz::{AccountId, Co, CoRecord, Credentials, Node};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    contract::{BoxError, Contract, Migrate, Permission, Serve},
    grants::GrantTable,
    implementation::{Implementation, Implementations},
    locks::Locks,
    manifest::ReplicaManifest,
    permission::grant_key,
    profile::Profile,
    provider::Connector,
    rcb::ControlBlock,
    requests::{PermissionRequest, PermissionRequestError},
    requirement::{Requirement, RequirementError},
    rpc::RpcServer,
    session::{Session, SessionError, Sessions},
};

/// The definition doesn't mention the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replica does not implement {0}")]
pub struct NotImplemented(pub &'static str);

/// A running replica, for its own code. Cheap to clone.
#[derive(Clone)]
pub struct Replica(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) id: u32,
    pub(crate) name: String,
    /// With the replica's name filled in.
    pub(crate) manifest: ReplicaManifest,
    pub(crate) control_block: Co<ControlBlock>,
    pub(crate) served_by: Co<CoRecord<Vec<AccountId>>>,
    pub(crate) profile: Profile,
    pub(crate) implementations: Arc<Implementations>,
    pub(crate) grants: Arc<GrantTable>,
    pub(crate) connector: Connector,
    pub(crate) sessions: Sessions,
    pub(crate) locks: Locks,
    pub(crate) server: RpcServer,
    pub(crate) routes: RwLock<Option<axum::Router>>,
    pub(crate) shutdown: CancellationToken,
}

impl Replica {
    /// Returns the replica's number in the cluster.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Returns the replica's name in the cluster.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the replica's account.
    pub fn account_id(&self) -> &AccountId {
        self.0.node.account_id()
    }

    /// Returns the Jazz node that is logged into the replica's account.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// Returns the time of day; tests may set it.
    pub fn clock(&self) -> Clock {
        self.0.grants.clock
    }

    /// Returns the control block, which tells the replica what it got and what it must grant.
    pub fn control_block(&self) -> &Co<ControlBlock> {
        &self.0.control_block
    }

    /// Returns what uses replicas in the name of this one, also those that no requirement names.
    pub fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// Makes a new account that isn't a replica, and waits until others find it. Whoever has its credentials acts for it.
    pub async fn create_account(&self, name: &str) -> Result<Credentials, SessionError> {
        self.0.sessions.create_account(name).await
    }

    /// Logs into another account. The session has that account's permissions and none of ours.
    pub async fn log_in(&self, credentials: Credentials) -> Result<Session, SessionError> {
        self.0.sessions.log_in(credentials).await
    }

    /// Returns the locks of the cluster, which keep replicas, and versions of a replica that overlap, from doing the
    /// same work at once. All replicas share the names.
    pub fn locks(&self) -> &Locks {
        &self.0.locks
    }

    /// Returns a contract that this replica implements.
    pub fn implementation<C: Contract>(&self) -> Result<Implementation<C>, NotImplemented> {
        Implementation::find(&self.0.implementations, self.0.grants.clone())
            .ok_or(NotImplemented(C::IDENTITY))
    }

    /// Answers the calls of a contract from now on. Until then its methods answer 503.
    ///
    /// A handler whose caller goes away, or whose deadline passes, is dropped at its next await. What it wrote is
    /// stored before the caller gets its answer.
    pub fn serve<C: Serve<S>, S>(&self, contract: C, service: S) -> Result<(), NotImplemented> {
        let _ = contract;
        if !self.0.implementations.contains_key(C::IDENTITY) {
            return Err(NotImplemented(C::IDENTITY));
        }
        self.0.server.serve(C::dispatch(Arc::new(service)));
        Ok(())
    }

    /// Serves HTTP routes of the replica's own, below `/replicas/{name}/`. What is there is open to anybody who can
    /// reach the replica.
    pub fn serve_routes(&self, routes: axum::Router) {
        *self.0.routes.write() = Some(routes);
    }

    /// Returns a contract that this replica uses, by its key.
    pub fn requirement<C: Contract>(&self, key: &str) -> Result<Requirement<C>, RequirementError> {
        let described = self
            .0
            .manifest
            .requirements
            .get(key)
            .filter(|described| described.identity == C::IDENTITY);
        let not_defined = || RequirementError::NotDefined {
            key: key.to_owned(),
            contract: C::IDENTITY,
        };
        let permissions = &described.ok_or_else(not_defined)?.permissions;
        let requested = permissions
            .iter()
            .map(|asked| grant_key(&C::identity(), &asked.name, asked.instance_id.as_deref()))
            .collect();
        Ok(Requirement {
            key: key.into(),
            connector: self.0.connector.clone(),
            served_by: self.0.served_by.clone(),
            requested,
            contract: PhantomData,
        })
    }

    /// Asks the administrators for a permission of whoever serves a requirement, in addition to what the manifest asks
    /// for. Returns once the request is stored; [`PermissionRequest::granted`] waits for the decision.
    ///
    /// It is asked once: asking again for the same, also after a restart, finds the same request, and a refusal stays one.
    /// Nobody is asked for what is granted already. While Alpha doesn't answer it is asked again.
    pub async fn request_permission<P: Permission>(
        &self,
        requirement: &Requirement<P::Contract>,
        permission: &P,
        reason: &str,
    ) -> Result<PermissionRequest<P>, PermissionRequestError> {
        let block = self.0.control_block.get();
        let alpha = block
            .map_err(|error| PermissionRequestError::Unreadable(error.into()))?
            .alpha;
        PermissionRequest::make(alpha, &self.0.connector, requirement, permission, reason).await
    }

    /// Returns the private data of the replica: made if there are none, migrated in any case. There is one root, so
    /// the type is always the same.
    pub async fn root<T: Migrate>(&self) -> Result<Co<T>, BoxError> {
        self.0.profile.root(&self.0.node).await
    }

    /// Waits until the replica shall stop.
    pub async fn shutdown_requested(&self) {
        self.0.shutdown.cancelled().await;
    }

    /// Returns the wish to stop as a token, e.g. for tasks of the replica's own.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.0.shutdown.child_token()
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({}, {})", self.0.id, self.0.name)
    }
}
