//! The contract of the user manager, which knows the users of a cluster and what they may do (SYSTEM.md, section 9).
//!
//! A replica that has users of its own defines a realm for them: see [`define_realm`].

mod data;
mod permissions;
mod realm;

use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use data::*;
pub use permissions::*;
pub use realm::*;

/// Knows the users of a cluster and what they may do.
#[contract(
    identity = "ghcr.io/exeteres/reside/contracts/user-manager.v1",
    data = UserManagerData,
    permissions(
        ReadUsers, ReadRealmUsers, CreateUsers, ImpersonateUsers, ManageUserPermissions, ReadDefaultPermissions,
        ManageDefaultPermissions, ReadRealms, ReadRealm, ManageRealm
    ),
    en("User manager", "Knows the users of a cluster and what they may do"),
    ru("Управление пользователями", "Знает пользователей кластера и их разрешения"),
)]
pub trait UserManager {
    /// Makes the caller's account a user of the open realm. Nothing changes if it is one.
    #[method(
        en("Register", "Makes the caller a user"),
        ru("Зарегистрироваться", "Делает вызывающего пользователем"),
        idempotent
    )]
    async fn register(&self, call: &Call, request: Register) -> RpcResult<UserProfile>;

    /// Tells the caller who it is here.
    #[method(
        en("Who am I", "Tells the caller which user it is and what it may do"),
        ru("Кто я", "Сообщает вызывающему, какой он пользователь и что ему разрешено"),
        idempotent
    )]
    async fn me(&self, call: &Call, request: Me) -> RpcResult<UserProfile>;

    /// Makes a user whose key is kept here; needs [`CreateUsers`] for the realm.
    #[method(
        en("Create a user", "Makes a managed user in a realm"),
        ru("Создать пользователя", "Создаёт управляемого пользователя в области")
    )]
    async fn create_user(&self, call: &Call, request: CreateUser) -> RpcResult<CreatedUser>;

    /// Defines a realm, or changes its texts; needs [`ManageRealm`].
    #[method(
        en("Define a realm", "Defines a realm or changes what it is called"),
        ru("Определить область", "Определяет область или меняет её описание"),
        idempotent
    )]
    async fn define_realm(&self, call: &Call, request: DefineRealm) -> RpcResult<RealmRef>;

    /// Finds a realm for whoever has any permission in it.
    #[method(
        en("Find a realm", "Finds a realm in which the caller has a permission"),
        ru("Найти область", "Находит область, в которой у вызывающего есть разрешение"),
        idempotent
    )]
    async fn find_realm(&self, call: &Call, request: FindRealm) -> RpcResult<RealmRef>;

    /// Gives a user a permission; needs [`ManageUserPermissions`].
    #[method(
        en("Grant a permission to a user", "Gives a user a permission"),
        ru("Выдать разрешение пользователю", "Выдаёт пользователю разрешение")
    )]
    async fn grant_permission(
        &self,
        call: &Call,
        request: ChangeUserPermission,
    ) -> RpcResult<PermissionChanged>;

    /// Takes a permission from a user; needs [`ManageUserPermissions`].
    #[method(
        en("Revoke a permission of a user", "Takes a permission from a user"),
        ru("Отозвать разрешение пользователя", "Забирает у пользователя разрешение")
    )]
    async fn revoke_permission(
        &self,
        call: &Call,
        request: ChangeUserPermission,
    ) -> RpcResult<PermissionChanged>;

    /// Gives all users a permission, present and future ones; needs [`ManageDefaultPermissions`].
    #[method(
        en(
            "Grant a permission to all users",
            "Gives all users a permission, present and future ones"
        ),
        ru(
            "Выдать разрешение всем",
            "Выдаёт разрешение всем пользователям, нынешним и будущим"
        )
    )]
    async fn grant_default_permission(
        &self,
        call: &Call,
        request: ChangeDefaultPermission,
    ) -> RpcResult<PermissionChanged>;

    /// Takes a permission away that all users have; needs [`ManageDefaultPermissions`].
    #[method(
        en(
            "Revoke a permission of all users",
            "Takes a permission away that all users have"
        ),
        ru(
            "Отозвать разрешение у всех",
            "Забирает разрешение, которое есть у всех пользователей"
        )
    )]
    async fn revoke_default_permission(
        &self,
        call: &Call,
        request: ChangeDefaultPermission,
    ) -> RpcResult<PermissionChanged>;
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
    /// Asks to become a user.
    Register {
        /// What the user is called.
        #[schemars(length(min = 1, max = 200))]
        name: String,
    }
    /// Asks who the caller is.
    Me {}
    /// A user, and what it may do.
    UserProfile {
        /// Its number.
        id: UserId,
        /// Its account.
        account_id: String,
        /// What it is called.
        name: String,
        /// The realm it belongs to.
        realm: String,
        /// Whether a replica made it.
        is_managed: bool,
        /// What it may do, the default permissions included.
        permissions: Vec<UserPermissionView>,
    }
    /// A permission of a user.
    UserPermissionView {
        /// The set it comes from: `own`, `administrator` or `default`.
        set: String,
        /// Identity of the contract.
        contract: String,
        /// Name of the permission in the contract.
        permission: String,
        /// Which instance, if the permission has instance keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance_id: Option<String>,
        /// Its params.
        params: Map<String, Value>,
        /// When it ends by itself, as milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    }
    /// Whom to create.
    CreateUser {
        /// The realm.
        realm_name: String,
        /// What the account is called.
        #[schemars(length(min = 1, max = 200))]
        account_name: String,
    }
    /// A user was created.
    CreatedUser {
        /// Its number.
        user_id: UserId,
        /// Its account.
        account_id: String,
        /// Id of its record.
        user: String,
    }
    /// What a realm is called.
    DefineRealm {
        /// Its name.
        name: String,
        /// Texts for people.
        display_info: DisplayInfo,
    }
    /// Which realm to find.
    FindRealm {
        /// Its name.
        name: String,
    }
    /// Where a realm is.
    RealmRef {
        /// Id of its record.
        realm: String,
    }
    /// A permission of a user.
    ChangeUserPermission {
        /// The user.
        user_id: UserId,
        /// Identity of the contract.
        contract: String,
        /// Name of the permission in the contract.
        permission: String,
        /// Its params.
        params: Option<Value>,
        /// Replicas it is for; without them all that implement the contract, now and later.
        replica_ids: Option<Vec<u32>>,
        /// When it ends by itself, as milliseconds since 1970.
        expires_at: Option<u64>,
    }
    /// A permission of all users.
    ChangeDefaultPermission {
        /// Identity of the contract.
        contract: String,
        /// Name of the permission in the contract.
        permission: String,
        /// Its params.
        params: Option<Value>,
        /// Replicas it is for; without them all that implement the contract, now and later.
        replica_ids: Option<Vec<u32>>,
        /// When it ends by itself, as milliseconds since 1970.
        expires_at: Option<u64>,
    }
    /// What became of a change of a permission.
    PermissionChanged {
        /// The replicas it concerns now.
        replica_ids: Vec<u32>,
        /// Whether all of them have carried it out; if not, they do when they run.
        applied: bool,
    }
}
