//! Permissions that replicas ask for at run time: taking requests, and deciding them. Grants follow from what was
//! approved, as they follow from what versions ask for (`permissions`).

use std::collections::BTreeMap;

use alpha_v1::{
    ApprovePermissionRequest, PermissionChange, PermissionRequestRef, RequestPermission, RequestStatus,
    RequestedPermission,
};
use reside::permission::instance_id;
use reside::prelude::*;
use reside::requests::REASON_CHARS_MAX;
use serde_json::{Map, Value};

use crate::carry_out::extend;
use crate::engine::Engine;
use crate::grants::{Change, check_end, check_params};
use crate::permissions;
use crate::state::{LoadedReplica, State};

/// How many requests of one replica may wait for an administrator.
const PENDING_MAX: usize = 32;

fn internal(error: impl Into<BoxError>) -> RpcError {
    RpcError::internal(error)
}

/// What is asked for, checked.
struct Asked {
    replica: LoadedReplica,
    requirement: String,
    contract: Identity,
    permission: String,
    instance_id: Option<String>,
    params: Map<String, Value>,
    reason: String,
}

impl Engine {
    /// Takes a request of a replica. The same is taken once; what has ended waits for an administrator again.
    pub async fn request_permission(
        &self,
        by: &AccountId,
        asked: RequestPermission,
    ) -> RpcResult<PermissionRequestRef> {
        let _changing = self.change().await;
        let (state, now) = (self.state(), self.clock().now());
        let asked = self.check_request(by, asked).await?;
        let known = state.all_permission_requests().await.map_err(internal)?;
        if let Some((request, found)) = known.iter().find(|(_, known)| asked.is(by, known)) {
            let has_ended = found.status == RequestStatus::Approved && !found.is_granted(now);
            if has_ended {
                request
                    .update(|request| {
                        request.status = RequestStatus::Pending;
                        request.reason = asked.reason;
                        request.created_at = now;
                    })
                    .map_err(internal)?;
            }
            return Ok(reference(request, found.id));
        }
        let is_pending =
            |known: &RequestedPermission| known.account == *by && known.status == RequestStatus::Pending;
        if known.iter().filter(|(_, known)| is_pending(known)).count() >= PENDING_MAX {
            return Err(RpcError::wrong_state(format!(
                "{PENDING_MAX} requests wait for an administrator already"
            )));
        }
        let id = State::next_number(&state.permission_requests.keys().map_err(internal)?, 1);
        let request = make(state, by, id, asked, now).await.map_err(internal)?;
        Ok(reference(&request, id))
    }

    /// Approves a request, also one that was refused before, and waits a little until it is carried out. Approving again
    /// sets another end.
    pub async fn approve_permission_request(
        &self,
        by: &AccountId,
        asked: ApprovePermissionRequest,
    ) -> RpcResult<PermissionChange> {
        let now = self.clock().now();
        check_end(asked.expires_at, now)?;
        let change = {
            let _changing = self.change().await;
            let (handle, request) = self.permission_request(asked.request_id).await?;
            self.replica(request.replica_id).await?;
            handle
                .update(|request| {
                    request.status = RequestStatus::Approved;
                    request.decided_by = Some(by.clone());
                    request.decided_at = Some(now);
                    request.refusal_reason = None;
                    request.expires_at = asked.expires_at;
                })
                .map_err(internal)?;
            let replicas = self.state().loaded_replicas().await.map_err(internal)?;
            permissions::reconcile(self.state(), &replicas, now)
                .await
                .map_err(internal)?;
            let targets = targets(&request, &replicas);
            Change::requested(request, targets)
        };
        self.wake();
        self.carried_out(&change).await
    }

    /// Refuses a request.
    pub async fn reject_permission_request(
        &self,
        by: &AccountId,
        id: u32,
        reason: Option<String>,
    ) -> RpcResult<()> {
        let _changing = self.change().await;
        let (handle, request) = self.permission_request(id).await?;
        let state = match request.status {
            RequestStatus::Pending => {
                return handle
                    .update(|request| {
                        request.status = RequestStatus::Rejected;
                        request.decided_by = Some(by.clone());
                        request.decided_at = Some(self.clock().now());
                        request.refusal_reason = reason;
                    })
                    .map_err(internal);
            }
            RequestStatus::Approved => "is approved; `permission revoke` takes it back",
            RequestStatus::Rejected => "was rejected already",
            RequestStatus::Revoked => "was taken back already",
        };
        Err(RpcError::wrong_state(format!("permission request {id} {state}")))
    }

    /// Marks the requests behind a permission as taken back, so that it isn't granted again by them.
    pub(crate) async fn revoke_requests(&self, by: &AccountId, change: &Change) -> Result<(), BoxError> {
        let replicas = self.state().loaded_replicas().await?;
        for (handle, request) in self.state().all_permission_requests().await? {
            let is_meant = request.status == RequestStatus::Approved && change.is_of(&request);
            let concerns = |id: &u32| change.targets.iter().any(|target| target.record.id == *id);
            if is_meant && served_by(&request, &replicas).iter().any(concerns) {
                handle.update(|request| {
                    request.status = RequestStatus::Revoked;
                    request.decided_by = Some(by.clone());
                    request.decided_at = Some(self.clock().now());
                })?;
            }
        }
        Ok(())
    }

    async fn permission_request(&self, id: u32) -> RpcResult<(Co<RequestedPermission>, RequestedPermission)> {
        let found = self.state().permission_request(id).await.map_err(internal)?;
        let handle =
            found.ok_or_else(|| RpcError::not_found(format!("there is no permission request {id}")))?;
        let request = handle.get().map_err(internal)?;
        Ok((handle, request))
    }

    async fn check_request(&self, by: &AccountId, asked: RequestPermission) -> RpcResult<Asked> {
        let RequestPermission {
            requirement,
            permission,
            params,
            reason,
        } = asked;
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(RpcError::malformed(format!(
                "the reason needs between 1 and {REASON_CHARS_MAX} characters"
            )));
        }
        let replicas = self.state().loaded_replicas().await.map_err(internal)?;
        let replica = replicas
            .into_values()
            .find(|replica| replica.record.account == *by);
        let replica =
            replica.ok_or_else(|| RpcError::forbidden("only replicas ask for permissions at run time"))?;
        let version = replica
            .current()
            .ok_or_else(|| internal("a replica has no version"))?;
        let required = version.manifest.requirements.get(&requirement);
        let required = required
            .ok_or_else(|| RpcError::not_found(format!("the replica has no requirement {requirement:?}")))?;
        let contract = required.identity.clone();
        let defined = self.defined(&contract, &permission).await?;
        let params = check_params(&defined, Some(Value::Object(params)))?;
        let instance_id = instance_id(&defined.instance_keys, &params);
        Ok(Asked {
            replica,
            requirement,
            contract,
            permission,
            instance_id,
            params,
            reason,
        })
    }
}

impl Asked {
    /// Tells whether a request is this one.
    fn is(&self, by: &AccountId, known: &RequestedPermission) -> bool {
        (&known.account, &known.requirement, &known.contract) == (by, &self.requirement, &self.contract)
            && (&known.permission, &known.params) == (&self.permission, &self.params)
    }
}

fn reference(request: &Co<RequestedPermission>, id: u32) -> PermissionRequestRef {
    PermissionRequestRef {
        request_id: id,
        value: request.id().to_string(),
    }
}

/// Makes a request, readable for whoever asks and for those who may approve. One that a crash has left is used.
async fn make(
    state: &State,
    by: &AccountId,
    id: u32,
    asked: Asked,
    now: Timestamp,
) -> Result<Co<RequestedPermission>, BoxError> {
    let group = group_of(state, &asked.replica, by).await?;
    let request = RequestedPermission {
        id,
        account: by.clone(),
        replica_id: asked.replica.record.id,
        requirement: asked.requirement,
        contract: asked.contract,
        permission: asked.permission,
        instance_id: asked.instance_id,
        params: asked.params,
        reason: asked.reason,
        status: RequestStatus::Pending,
        created_at: now,
        decided_by: None,
        decided_at: None,
        refusal_reason: None,
        expires_at: None,
    };
    let unique = format!("permission-request/{id}");
    let request = state.node.upsert_unique(&group, unique, request).await?;
    state
        .permission_requests
        .insert(id.to_string(), &request.reference())?;
    Ok(request)
}

/// The group of a replica's requests.
async fn group_of(state: &State, replica: &LoadedReplica, account: &AccountId) -> Result<Group, BoxError> {
    let group = match &replica.record.permission_request_group {
        Some(group) => state.node.load_group(group.id()).await?,
        None => {
            let group = state.node.create_group()?;
            let reference = group.reference();
            replica
                .handle
                .update(|record| record.permission_request_group = Some(reference))?;
            group
        }
    };
    if group.role_of(account).is_none() {
        group.add_member(account, Role::Reader).await?;
    }
    extend(&group, &state.permission_requests.owner(), Role::Reader).await?;
    Ok(group)
}

/// The replicas that a request is about: those that serve the requirement of the current version, if it still is one.
pub fn served_by(request: &RequestedPermission, replicas: &BTreeMap<u32, LoadedReplica>) -> Vec<u32> {
    let version = replicas.get(&request.replica_id).and_then(LoadedReplica::current);
    let Some(version) = version else {
        return Vec::new();
    };
    let required = version.manifest.requirements.get(&request.requirement);
    if required.is_none_or(|required| required.identity != request.contract) {
        return Vec::new();
    }
    let chosen = version.requirements.get(&request.requirement);
    chosen.cloned().unwrap_or_default()
}

fn targets(request: &RequestedPermission, replicas: &BTreeMap<u32, LoadedReplica>) -> Vec<LoadedReplica> {
    let ids = served_by(request, replicas);
    ids.iter().filter_map(|id| replicas.get(id)).cloned().collect()
}
