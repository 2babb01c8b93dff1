//! Alpha's part in permissions that are asked for at run time: the cluster in memory takes the requests, the test decides.

use std::{collections::BTreeMap, sync::Arc};

use jazz::{AccountId, Co, Node, Role};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    contract::BoxError,
    dispatch::Dispatch,
    identity::Identity,
    manifest::ReplicaManifest,
    requests::{
        ALPHA_CONTRACT, PermissionRequestRef, REQUEST_METHOD, RequestPermission, RequestStatus,
        RequestedPermission,
    },
    rpc::{Call, RpcError, RpcResult},
};

/// The requests of a cluster.
pub(super) struct Requests {
    node: Node,
    clock: Clock,
    /// What asks: the number of the replica and its manifest.
    replicas: Mutex<BTreeMap<AccountId, (u32, ReplicaManifest)>>,
    /// In the order in which they came.
    taken: watch::Sender<Vec<Co<RequestedPermission>>>,
    /// One at a time: the same is taken once.
    taking: tokio::sync::Mutex<()>,
}

impl Requests {
    pub(super) fn new(node: Node, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            node,
            clock,
            replicas: Mutex::default(),
            taken: watch::Sender::new(Vec::new()),
            taking: tokio::sync::Mutex::default(),
        })
    }

    /// Tells what a replica is, before it asks for anything.
    pub(super) fn introduce(&self, account: &AccountId, id: u32, manifest: &ReplicaManifest) {
        self.replicas
            .lock()
            .insert(account.clone(), (id, manifest.clone()));
    }

    /// Returns the one method of Alpha's that is played.
    pub(super) fn dispatch(self: &Arc<Self>) -> Dispatch {
        Dispatch::of(Identity::from_static(ALPHA_CONTRACT)).method(
            REQUEST_METHOD,
            self,
            |requests: Arc<Self>, call: Call, asked: RequestPermission| async move {
                requests.take(call.made_by(), asked).await
            },
        )
    }

    /// Waits until the account has asked for the permission.
    pub(super) async fn wait_for(
        &self,
        account: &AccountId,
        permission: &str,
    ) -> Result<Co<RequestedPermission>, BoxError> {
        let asked =
            |request: &RequestedPermission| request.account == *account && request.permission == permission;
        let mut taken = self.taken.subscribe();
        let found = taken.wait_for(|taken| {
            taken
                .iter()
                .any(|request| request.get().is_ok_and(|request| asked(&request)))
        });
        let found = found
            .await?
            .iter()
            .find(|request| request.get().is_ok_and(|request| asked(&request)))
            .cloned();
        found.ok_or_else(|| "the request has gone".into())
    }

    async fn take(&self, account: &AccountId, asked: RequestPermission) -> RpcResult<PermissionRequestRef> {
        let _taking = self.taking.lock().await;
        let known = self
            .taken
            .borrow()
            .iter()
            .find(|known| is_same(known, account, &asked))
            .cloned();
        let request = match known {
            Some(request) => request,
            None => {
                let made = self.make(account, asked).await.map_err(RpcError::internal)?;
                self.taken.send_modify(|taken| taken.push(made.clone()));
                made
            }
        };
        Ok(PermissionRequestRef {
            request_id: request.get().map_err(RpcError::internal)?.id,
            value: request.id().to_string(),
        })
    }

    async fn make(
        &self,
        account: &AccountId,
        asked: RequestPermission,
    ) -> Result<Co<RequestedPermission>, BoxError> {
        let (replica_id, contract) = {
            let replicas = self.replicas.lock();
            let (id, manifest) = replicas.get(account).ok_or("only replicas ask")?;
            let required = manifest.requirements.get(&asked.requirement);
            (
                *id,
                required.ok_or("there is no such requirement")?.identity.clone(),
            )
        };
        let group = self.node.create_group()?;
        group.add_member(account, Role::Reader).await?;
        let request = RequestedPermission {
            id: u32::try_from(self.taken.borrow().len())? + 1,
            account: account.clone(),
            replica_id,
            requirement: asked.requirement,
            contract,
            permission: asked.permission,
            // The test that approves knows the instance.
            instance_id: None,
            params: asked.params,
            reason: asked.reason,
            status: RequestStatus::Pending,
            created_at: self.clock.now(),
            decided_by: None,
            decided_at: None,
            refusal_reason: None,
            expires_at: None,
        };
        Ok(self.node.create(&group, request)?)
    }
}

fn is_same(known: &Co<RequestedPermission>, account: &AccountId, asked: &RequestPermission) -> bool {
    known.get().is_ok_and(|known| {
        known.account == *account
            && (&known.requirement, &known.permission, &known.params)
                == (&asked.requirement, &asked.permission, &asked.params)
    })
}
