//! The permissions of `user-manager.v1`. What they open is a group each, so granting is adding a member.

use jazz::{AccountId, Co, Group, Role};
use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UserManagerContract;
use crate::data::{UserManagerData, ensure_realm};

macro_rules! permission {
    ($(#[$doc:meta])* $name:ident = $wire:literal $([$key:ident])?, $risk:ident, $en:literal, $en_text:literal, $ru:literal, $ru_text:literal) => {
        $(#[$doc])*
        #[derive(Permission, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[permission(contract = UserManagerContract, name = $wire $(, instance($key))?, risk = $risk, en($en, $en_text), ru($ru, $ru_text))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                /// Name of the realm.
                #[schemars(length(min = 1, max = 64))]
                pub $key: String,
            )?
        }
    };
}

/// Which group a permission lets accounts into, as readers.
macro_rules! opens {
    ($name:ident, |$permission:ident, $data:ident| $group:expr) => {
        impl PermissionHandler for $name {
            async fn on_granted(&self, $data: &Co<UserManagerData>, account: &AccountId) -> HandlerResult {
                let $permission = self;
                let group: Group = $group;
                Ok(group.add_member(account, Role::Reader).await?)
            }

            async fn on_revoked(&self, $data: &Co<UserManagerData>, account: &AccountId) -> HandlerResult {
                let $permission = self;
                let group: Group = $group;
                Ok(group.remove_member(account).await?)
            }
        }
    };
}

permission! {
    /// See all users.
    ReadUsers = "user:read:all", read,
    "Read users", "See all users and what they may do",
    "Читать пользователей", "Видеть всех пользователей и их разрешения"
}
permission! {
    /// See the users of one realm.
    ReadRealmUsers = "user:read:realm" [realm_name], read,
    "Read the users of {realmName}", "See the users of this realm and what they may do",
    "Читать пользователей области {realmName}", "Видеть пользователей этой области и их разрешения"
}
permission! {
    /// Create managed users in one realm.
    CreateUsers = "user:create:realm" [realm_name], write,
    "Create users of {realmName}", "Create managed users in this realm",
    "Создавать пользователей области {realmName}", "Создавать управляемых пользователей в этой области"
}
permission! {
    /// Act as any managed user of one realm.
    ImpersonateUsers = "user:impersonate:realm" [realm_name], admin,
    "Impersonate users of {realmName}", "Act as any managed user of this realm, with that user's permissions",
    "Действовать от имени пользователей области {realmName}",
    "Действовать от имени любого управляемого пользователя этой области, с его разрешениями"
}
permission! {
    /// Give and take permissions of any user.
    ManageUserPermissions = "user:permission:manage:all", admin,
    "Manage permissions of users", "Give permissions to any user and take them away",
    "Управлять разрешениями пользователей", "Выдавать и отзывать разрешения любых пользователей"
}
permission! {
    /// See what every user may do.
    ReadDefaultPermissions = "default-permissions:read", read,
    "Read default permissions", "See what every user may do",
    "Читать разрешения по умолчанию", "Видеть, что разрешено каждому пользователю"
}
permission! {
    /// Change what every user may do.
    ManageDefaultPermissions = "default-permissions:manage", admin,
    "Manage default permissions", "Change what every user may do, present and future ones",
    "Управлять разрешениями по умолчанию", "Менять то, что разрешено каждому пользователю, нынешнему и будущему"
}
permission! {
    /// See all realms.
    ReadRealms = "realm:read:all", read,
    "Read realms", "See all realms",
    "Читать области", "Видеть все области пользователей"
}
permission! {
    /// See one realm.
    ReadRealm = "realm:read" [name], read,
    "Read the realm {name}", "See this realm",
    "Читать область {name}", "Видеть эту область пользователей"
}
permission! {
    /// Define one realm.
    ManageRealm = "realm:manage" [name], write,
    "Manage the realm {name}", "Define this realm and change what it is called",
    "Управлять областью {name}", "Определять эту область и менять её описание"
}

opens!(ReadUsers, |_permission, data| data
    .node()
    .load(&data.get()?.users)
    .await?
    .owner());
opens!(ReadRealmUsers, |permission, data| {
    let realm = ensure_realm(data, &permission.realm_name).await?.get()?;
    data.node().load(&realm.users).await?.owner()
});
opens!(ImpersonateUsers, |permission, data| {
    let realm = ensure_realm(data, &permission.realm_name).await?.get()?;
    data.node().load(&realm.impersonators).await?.into()
});
opens!(ReadDefaultPermissions, |_permission, data| {
    data.node().load(&data.get()?.default_permissions).await?.owner()
});
opens!(ManageDefaultPermissions, |_permission, data| {
    data.node()
        .load(&data.get()?.default_permission_managers)
        .await?
        .into()
});
opens!(ReadRealms, |_permission, data| data
    .node()
    .load(&data.get()?.realms)
    .await?
    .owner());
opens!(ReadRealm, |permission, data| ensure_realm(data, &permission.name)
    .await?
    .owner());
// These open methods only.
impl PermissionHandler for CreateUsers {}
impl PermissionHandler for ManageUserPermissions {}
impl PermissionHandler for ManageRealm {}
