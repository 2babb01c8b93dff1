//! The methods of `alpha.v1`: who may call them, and what they come down to.

use std::time::Duration;

use alpha_v1::{
    Alpha, AlphaContract, ApproveLoadRequest, ApproveLoadRequests, ApprovePermissionRequest,
    ApprovePermissionRequests, ApprovedLoadRequest, ChangePermission, ClaimSuperAdminAccess, Claimed,
    CreateLoadRequest, CreateLoadRequests, GrantPermission, GrantPermissions, LoadRequestRef, ManageReplicas,
    PermissionChange, PermissionRequestId, PermissionRequestRef, PermissionStateList, PermissionStates,
    RejectLoadRequest, RejectPermissionRequest, RequestPermission, RollbackReplica, RolledBack,
    UnloadReplica, Unloaded,
};
use reside::prelude::*;

use crate::engine::Engine;

/// When a caller should try again while one Alpha takes over from another.
const HANDOVER: Duration = Duration::from_secs(1);

/// Alpha, as its callers see it.
pub struct Service {
    alpha: Implementation<AlphaContract>,
    engine: Engine,
}

impl Service {
    /// Serves what the engine does.
    pub fn new(alpha: Implementation<AlphaContract>, engine: Engine) -> Self {
        Self { alpha, engine }
    }

    /// The engine, if this Alpha is the one that acts.
    fn engine(&self) -> RpcResult<&Engine> {
        if self.engine.is_acting() {
            Ok(&self.engine)
        } else {
            Err(RpcError::unavailable(
                "another version of Alpha is still at work",
                HANDOVER,
            ))
        }
    }
}

impl Alpha for Service {
    async fn create_load_request(
        &self,
        call: &Call,
        request: CreateLoadRequest,
    ) -> RpcResult<LoadRequestRef> {
        self.alpha.require(call, &CreateLoadRequests {})?;
        let load_request_id = self
            .engine()?
            .create_load_request(call.made_by(), request)
            .await?;
        Ok(LoadRequestRef { load_request_id })
    }

    async fn approve_load_request(
        &self,
        call: &Call,
        request: ApproveLoadRequest,
    ) -> RpcResult<ApprovedLoadRequest> {
        self.alpha.require(call, &ApproveLoadRequests {})?;
        self.engine()?.approve(call.made_by(), request).await
    }

    async fn reject_load_request(
        &self,
        call: &Call,
        request: RejectLoadRequest,
    ) -> RpcResult<LoadRequestRef> {
        self.alpha.require(call, &ApproveLoadRequests {})?;
        let RejectLoadRequest {
            load_request_id,
            reason,
        } = request;
        self.engine()?
            .reject(call.made_by(), load_request_id, reason)
            .await?;
        Ok(LoadRequestRef { load_request_id })
    }

    async fn claim_super_admin_access(
        &self,
        call: &Call,
        request: ClaimSuperAdminAccess,
    ) -> RpcResult<Claimed> {
        self.engine()?.claim(call.made_by(), &request.token).await?;
        Ok(Claimed {})
    }

    async fn grant_permission(&self, call: &Call, request: GrantPermission) -> RpcResult<PermissionChange> {
        self.alpha.require(call, &GrantPermissions {})?;
        let GrantPermission {
            account_id,
            contract,
            permission,
            params,
            replica_ids,
            expires_at,
        } = request;
        let change = ChangePermission {
            account_id,
            contract,
            permission,
            params,
            replica_ids,
        };
        self.engine()?.grant(call.made_by(), change, expires_at).await
    }

    async fn revoke_permission(&self, call: &Call, request: ChangePermission) -> RpcResult<PermissionChange> {
        self.alpha.require(call, &GrantPermissions {})?;
        self.engine()?.revoke(call.made_by(), request).await
    }

    async fn request_permission(
        &self,
        call: &Call,
        request: RequestPermission,
    ) -> RpcResult<PermissionRequestRef> {
        self.engine()?.request_permission(call.made_by(), request).await
    }

    async fn approve_permission_request(
        &self,
        call: &Call,
        request: ApprovePermissionRequest,
    ) -> RpcResult<PermissionChange> {
        self.alpha.require(call, &ApprovePermissionRequests {})?;
        self.engine()?
            .approve_permission_request(call.made_by(), request)
            .await
    }

    async fn reject_permission_request(
        &self,
        call: &Call,
        request: RejectPermissionRequest,
    ) -> RpcResult<PermissionRequestId> {
        self.alpha.require(call, &ApprovePermissionRequests {})?;
        let RejectPermissionRequest { request_id, reason } = request;
        self.engine()?
            .reject_permission_request(call.made_by(), request_id, reason)
            .await?;
        Ok(PermissionRequestId { request_id })
    }

    async fn permission_states(
        &self,
        call: &Call,
        request: PermissionStates,
    ) -> RpcResult<PermissionStateList> {
        self.alpha.require(call, &GrantPermissions {})?;
        self.engine()?.permission_states(&request).await
    }

    async fn rollback_replica(&self, call: &Call, request: RollbackReplica) -> RpcResult<RolledBack> {
        self.alpha.require(call, &ManageReplicas {})?;
        let version_id = self
            .engine()?
            .rollback(request.replica_id, request.version_id)
            .await?;
        Ok(RolledBack { version_id })
    }

    async fn unload_replica(&self, call: &Call, request: UnloadReplica) -> RpcResult<Unloaded> {
        self.alpha.require(call, &ManageReplicas {})?;
        self.engine()?.unload(request.replica_id).await?;
        Ok(Unloaded {})
    }
}
