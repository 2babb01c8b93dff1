//! The contract of Alpha, which registers contracts and replicas and loads new ones (SYSTEM.md, section 6).

mod data;
mod lookup;
mod permissions;

use std::collections::BTreeMap;

use reside::HandlerFailure;
use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use data::*;
pub use lookup::*;
pub use permissions::*;
pub use reside::requests::{PermissionRequestRef, RequestPermission, RequestStatus, RequestedPermission};

/// Registers contracts and replicas and loads new ones.
#[contract(
    identity = "ghcr.io/exeteres/reside/contracts/alpha.v1",
    data = AlphaData,
    permissions(
        ReadReplicas, CreateLoadRequests, ReadLoadRequests, ApproveLoadRequests, ManageControlBlocks, ManageReplicas,
        ApprovePermissionRequests, GrantPermissions
    ),
    en("Alpha", "Registers contracts and replicas and loads new ones"),
    ru("Альфа", "Регистрирует контракты и реплики и загружает новые"),
)]
pub trait Alpha {
    /// Registers a load request and validates it in the background.
    #[method(
        en("Create a load request", "Asks for a replica to be loaded from an image"),
        ru("Создать запрос на загрузку", "Просит загрузить реплику из образа")
    )]
    async fn create_load_request(&self, call: &Call, request: CreateLoadRequest)
    -> RpcResult<LoadRequestRef>;

    /// Loads what was asked for: creates the replica if it is new, its version, control block, rights and workload.
    #[method(
        en(
            "Approve a load request",
            "Loads the replica and gives it the permissions it asked for"
        ),
        ru(
            "Одобрить запрос на загрузку",
            "Загружает реплику и выдаёт ей запрошенные разрешения"
        )
    )]
    async fn approve_load_request(
        &self,
        call: &Call,
        request: ApproveLoadRequest,
    ) -> RpcResult<ApprovedLoadRequest>;

    /// Refuses a load request.
    #[method(
        en("Reject a load request", "Refuses to load the replica"),
        ru("Отклонить запрос на загрузку", "Отказывает в загрузке реплики")
    )]
    async fn reject_load_request(&self, call: &Call, request: RejectLoadRequest)
    -> RpcResult<LoadRequestRef>;

    /// Makes the caller the administrator of a new cluster, once.
    #[method(
        en(
            "Claim administrator access",
            "Makes the caller the administrator of a new cluster"
        ),
        ru(
            "Получить права администратора",
            "Делает вызывающего администратором нового кластера"
        )
    )]
    async fn claim_super_admin_access(
        &self,
        call: &Call,
        request: ClaimSuperAdminAccess,
    ) -> RpcResult<Claimed>;

    /// Gives an account a permission of every replica that implements the contract, or of those named.
    #[method(
        en("Grant a permission", "Gives an account a permission"),
        ru("Выдать разрешение", "Выдаёт аккаунту разрешение")
    )]
    async fn grant_permission(&self, call: &Call, request: GrantPermission) -> RpcResult<PermissionChange>;

    /// Takes a permission away that was granted by hand.
    #[method(
        en("Revoke a permission", "Takes a permission away from an account"),
        ru("Отозвать разрешение", "Забирает у аккаунта разрешение")
    )]
    async fn revoke_permission(&self, call: &Call, request: ChangePermission) -> RpcResult<PermissionChange>;

    /// Asks for a permission of whoever serves a requirement of the caller, which is a replica.
    #[method(
        en(
            "Request a permission",
            "Asks the administrators for a permission at run time"
        ),
        ru("Запросить разрешение", "Просит у администраторов разрешение во время работы"),
        idempotent
    )]
    async fn request_permission(
        &self,
        call: &Call,
        request: RequestPermission,
    ) -> RpcResult<PermissionRequestRef>;

    /// Grants what a replica has asked for at run time; also what was refused before.
    #[method(
        en(
            "Approve a permission request",
            "Grants what a replica has asked for at run time"
        ),
        ru(
            "Одобрить запрос разрешения",
            "Выдаёт разрешение, запрошенное репликой во время работы"
        )
    )]
    async fn approve_permission_request(
        &self,
        call: &Call,
        request: ApprovePermissionRequest,
    ) -> RpcResult<PermissionChange>;

    /// Refuses what a replica has asked for at run time.
    #[method(
        en(
            "Reject a permission request",
            "Refuses what a replica has asked for at run time"
        ),
        ru(
            "Отклонить запрос разрешения",
            "Отказывает в разрешении, запрошенном репликой"
        )
    )]
    async fn reject_permission_request(
        &self,
        call: &Call,
        request: RejectPermissionRequest,
    ) -> RpcResult<PermissionRequestId>;

    /// Tells what has become of permissions where they are carried out.
    #[method(
        en(
            "Permission states",
            "Tells whether permissions are carried out, and what hinders it"
        ),
        ru(
            "Состояния разрешений",
            "Сообщает, применены ли разрешения и что этому мешает"
        ),
        idempotent
    )]
    async fn permission_states(
        &self,
        call: &Call,
        request: PermissionStates,
    ) -> RpcResult<PermissionStateList>;

    /// Makes an older version current again.
    #[method(
        en("Roll a replica back", "Makes an older version current again"),
        ru("Откатить реплику", "Делает текущей более старую версию")
    )]
    async fn rollback_replica(&self, call: &Call, request: RollbackReplica) -> RpcResult<RolledBack>;

    /// Removes a replica: its grants are revoked and its objects deleted.
    #[method(
        en("Unload a replica", "Removes a replica with its grants and objects"),
        ru("Выгрузить реплику", "Удаляет реплику вместе с её разрешениями и объектами")
    )]
    async fn unload_replica(&self, call: &Call, request: UnloadReplica) -> RpcResult<Unloaded>;
}

/// Who says what is expected of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionSource {
    /// Alpha: its grants have the reasons.
    Alpha,
    /// The user manager: what it grants to users.
    UserManager,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )*};
}

messages! {
    /// What to load.
    CreateLoadRequest {
        /// Image reference, e.g. `ghcr.io/exeteres/reside/replicas/greeter:latest`.
        image: String,
        /// Update this instance; without it a replica that isn't exclusive gets a new one.
        replica_id: Option<ReplicaId>,
        /// Name of a new instance instead of the replica's own.
        name: Option<String>,
        /// On behalf of whom.
        owner_id: Option<String>,
    }
    /// Which request is meant.
    LoadRequestRef {
        /// Its number.
        load_request_id: u32,
    }
    /// Which request to approve, and who serves its requirements.
    ApproveLoadRequest {
        /// Its number.
        load_request_id: u32,
        /// Requirement key to the replicas chosen for it; a key that is left out takes the only or the oldest candidate.
        #[serde(default)]
        requirement_replica_ids: BTreeMap<String, Vec<ReplicaId>>,
        /// When the permissions end that are approved with it; without it they last as long as the version is current.
        #[schemars(with = "Option<String>")]
        expires_at: Option<Timestamp>,
    }
    /// What an approval made.
    ApprovedLoadRequest {
        /// The new or updated replica.
        replica_id: ReplicaId,
        /// Its new version.
        version_id: u32,
        /// Its name in the cluster.
        name: String,
    }
    /// Which request to refuse, and why.
    RejectLoadRequest {
        /// Its number.
        load_request_id: u32,
        /// Shown to whoever asked.
        reason: Option<String>,
    }
    /// Proof of having made the cluster.
    ClaimSuperAdminAccess {
        /// The one-time token that the bootstrap printed.
        token: String,
    }
    /// The claim was accepted.
    Claimed {}
    /// A permission for an account, perhaps for a time.
    GrantPermission {
        /// The account.
        account_id: String,
        /// Identity of the contract.
        contract: String,
        /// Name of the permission in the contract.
        permission: String,
        /// Its parameters.
        params: Option<Value>,
        /// Replicas to grant it on; without them all that implement the contract.
        replica_ids: Option<Vec<ReplicaId>>,
        /// From then on it counts as revoked.
        #[schemars(with = "Option<String>")]
        expires_at: Option<Timestamp>,
    }
    /// A permission of an account.
    ChangePermission {
        /// The account.
        account_id: String,
        /// Identity of the contract.
        contract: String,
        /// Name of the permission in the contract.
        permission: String,
        /// Its parameters.
        params: Option<Value>,
        /// Replicas that are meant; without them all that implement the contract.
        replica_ids: Option<Vec<ReplicaId>>,
    }
    /// What became of a change of a permission.
    PermissionChange {
        /// The replicas it concerns.
        replica_ids: Vec<ReplicaId>,
        /// Whether all of them have carried it out; if not, they do when they run.
        applied: bool,
        /// Where it stays granted after a revocation, because a version asks for it.
        #[serde(default)]
        still_granted_at: Vec<ReplicaId>,
    }
    /// Which request to approve, and for how long.
    ApprovePermissionRequest {
        /// Its number.
        request_id: u32,
        /// From then on it counts as revoked.
        #[schemars(with = "Option<String>")]
        expires_at: Option<Timestamp>,
    }
    /// Which request to refuse, and why.
    RejectPermissionRequest {
        /// Its number.
        request_id: u32,
        /// Told to the replica that asked.
        reason: Option<String>,
    }
    /// A request was decided.
    PermissionRequestId {
        /// Its number.
        request_id: u32,
    }
    /// Which permissions are meant; what is left out doesn't matter.
    PermissionStates {
        /// Those of this account.
        account_id: Option<String>,
        /// Those of this contract.
        contract: Option<String>,
        /// Those of this name.
        permission: Option<String>,
        /// Those at this replica.
        replica_id: Option<ReplicaId>,
        /// Only those that are not carried out.
        #[serde(default)]
        pending_only: bool,
    }
    /// What has become of permissions.
    PermissionStateList {
        /// One for each entry of a control block.
        states: Vec<PermissionState>,
    }
    /// What has become of a permission.
    PermissionState {
        /// The replica that grants it.
        replica_id: ReplicaId,
        /// Whose it is.
        account_id: String,
        /// The contract that defines it.
        contract: String,
        /// Its name in the contract.
        permission: String,
        /// Which instance, if the permission has instance keys.
        instance_id: Option<String>,
        /// With which params.
        params: Map<String, Value>,
        /// Who says so.
        source: PermissionSource,
        /// Whether it should be granted now.
        granted: bool,
        /// Until when.
        #[schemars(with = "Option<String>")]
        expires_at: Option<Timestamp>,
        /// Whether the replica has carried that out, be it a grant or a revocation.
        carried_out: bool,
        /// Whether it counts.
        effective: bool,
        /// What hinders it.
        failure: Option<HandlerFailure>,
    }
    /// Which version to go back to.
    RollbackReplica {
        /// The replica.
        replica_id: ReplicaId,
        /// The version; without it the one before the current one.
        version_id: Option<u32>,
    }
    /// The version that is current now.
    RolledBack {
        /// Its number.
        version_id: u32,
    }
    /// Which replica to remove.
    UnloadReplica {
        /// The replica.
        replica_id: ReplicaId,
    }
    /// The replica was removed.
    Unloaded {}
}
