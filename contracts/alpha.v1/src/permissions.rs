//! The permissions of `alpha.v1`. What they open is a group each, so granting is adding a member.

use jazz::{AccountId, Co, Group, Role};
use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::load;
use crate::{AlphaContract, AlphaData, permission_requests};

macro_rules! permission {
    ($(#[$doc:meta])* $name:ident = $wire:literal, $risk:ident, $en:literal, $en_text:literal, $ru:literal, $ru_text:literal) => {
        $(#[$doc])*
        #[derive(Permission, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[permission(contract = AlphaContract, name = $wire, risk = $risk, en($en, $en_text), ru($ru, $ru_text))]
        pub struct $name {}
    };
}

/// Which group a permission opens, and with which role.
macro_rules! opens {
    ($name:ident, |$data:ident| $group:expr, $role:ident) => {
        impl PermissionHandler for $name {
            async fn on_granted(&self, $data: &Co<AlphaData>, account: &AccountId) -> HandlerResult {
                let group: Group = $group;
                Ok(group.add_member(account, Role::$role).await?)
            }

            async fn on_revoked(&self, $data: &Co<AlphaData>, account: &AccountId) -> HandlerResult {
                let group: Group = $group;
                Ok(group.remove_member(account).await?)
            }
        }
    };
}

opens!(
    ReadReplicas,
    |data| load(data, &data.get()?.replicas).await?.owner(),
    Reader
);
opens!(
    ReadLoadRequests,
    |data| load(data, &data.get()?.load_requests).await?.owner(),
    Reader
);
opens!(
    GrantPermissions,
    |data| load(data, &data.get()?.grants).await?.owner(),
    Reader
);
opens!(
    ApprovePermissionRequests,
    |data| permission_requests(data).await?.owner(),
    Reader
);
opens!(
    ManageControlBlocks,
    |data| load(data, &data.get()?.rcb_manage_group).await?.into(),
    Writer
);
opens!(
    ManageReplicas,
    |data| load(data, &data.get()?.replica_manage_group).await?.into(),
    Writer
);
// These open methods only.
impl PermissionHandler for CreateLoadRequests {}
impl PermissionHandler for ApproveLoadRequests {}

permission! {
    /// See all replicas.
    ReadReplicas = "replica:read:all", read,
    "Read replicas", "See all replicas of the cluster",
    "Читать реплики", "Видеть все реплики кластера"
}
permission! {
    /// Ask for replicas to be loaded.
    CreateLoadRequests = "load-request:create", write,
    "Create load requests", "Ask for replicas to be loaded",
    "Создавать запросы на загрузку", "Просить о загрузке реплик"
}
permission! {
    /// See all load requests.
    ReadLoadRequests = "load-request:read:all", read,
    "Read load requests", "See all load requests",
    "Читать запросы на загрузку", "Видеть все запросы на загрузку"
}
permission! {
    /// Approve and reject load requests.
    ApproveLoadRequests = "load-request:approve", admin,
    "Approve load requests", "Approve and reject load requests, and with them what the replicas ask for",
    "Одобрять запросы на загрузку", "Одобрять и отклонять запросы на загрузку и всё, о чём просят реплики"
}
permission! {
    /// Read and write every control block.
    ManageControlBlocks = "rcb:manage:all", admin,
    "Manage control blocks", "Read and write the control block of every replica",
    "Управлять блоками управления", "Читать и изменять блок управления каждой реплики"
}
permission! {
    /// Enable, place, roll back and unload replicas.
    ManageReplicas = "replica:manage:all", admin,
    "Manage replicas", "Enable, disable, place, roll back and unload replicas",
    "Управлять репликами", "Включать, выключать, размещать, откатывать и выгружать реплики"
}
permission! {
    /// Approve and reject permissions asked for at run time.
    ApprovePermissionRequests = "permission-request:approve", admin,
    "Approve permission requests", "Approve and reject permissions asked for at run time",
    "Одобрять запросы разрешений", "Одобрять и отклонять разрешения, запрошенные во время работы"
}
permission! {
    /// Give and take permissions of any account.
    GrantPermissions = "permission:grant:all", admin,
    "Grant permissions", "Give permissions to any account and take them away",
    "Выдавать разрешения", "Выдавать и отзывать разрешения любых аккаунтов"
}
