//! Two permissions per kind: to see its collection, and to write it.

use jazz::{AccountId, Co, Role};
use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collections::{SentinelData, group_of};
use crate::{Kind, KubernetesSentinelContract};

macro_rules! permission {
    ($name:ident, $kind:ident, $role:ident, $risk:ident, $wire:literal, $en:literal, $ru:literal) => {
        #[doc = concat!("`", $wire, "`.")]
        #[derive(Permission, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[permission(contract = KubernetesSentinelContract, name = $wire, risk = $risk, en($en), ru($ru))]
        pub struct $name {}

        impl PermissionHandler for $name {
            async fn on_granted(&self, data: &Co<SentinelData>, account: &AccountId) -> HandlerResult {
                give(data, Kind::$kind, account, Role::$role).await
            }

            async fn on_revoked(&self, data: &Co<SentinelData>, account: &AccountId) -> HandlerResult {
                take(data, Kind::$kind, account, Role::$role).await
            }
        }
    };
}

/// Gives a role, unless the account has a higher one by another permission.
async fn give(data: &Co<SentinelData>, kind: Kind, account: &AccountId, role: Role) -> HandlerResult {
    let group = group_of(data, kind).await?;
    if group
        .role_of(account)
        .is_none_or(|present| present == Role::Reader)
    {
        group.add_member(account, role).await?;
    }
    Ok(())
}

/// Takes the role that came with a permission; a higher one of another permission stays.
async fn take(data: &Co<SentinelData>, kind: Kind, account: &AccountId, role: Role) -> HandlerResult {
    let group = group_of(data, kind).await?;
    if group.role_of(account) == Some(role) {
        group.remove_member(account).await?;
    }
    Ok(())
}

permission!(
    ReadDeployments,
    Deployment,
    Reader,
    read,
    "deployment:read:all",
    "Read Deployments",
    "Читать развёртывания"
);
permission!(
    ManageDeployments,
    Deployment,
    Writer,
    admin,
    "deployment:manage:all",
    "Manage Deployments",
    "Управлять: развёртывания"
);
permission!(
    ReadStatefulSets,
    StatefulSet,
    Reader,
    read,
    "stateful-set:read:all",
    "Read StatefulSets",
    "Читать наборы с состоянием"
);
permission!(
    ManageStatefulSets,
    StatefulSet,
    Writer,
    admin,
    "stateful-set:manage:all",
    "Manage StatefulSets",
    "Управлять: наборы с состоянием"
);
permission!(
    ReadJobs,
    Job,
    Reader,
    read,
    "job:read:all",
    "Read Jobs",
    "Читать задания"
);
permission!(
    ManageJobs,
    Job,
    Writer,
    admin,
    "job:manage:all",
    "Manage Jobs",
    "Управлять: задания"
);
// Secrets hold the keys of replicas: who reads them can act as any of them.
permission!(
    ReadSecrets,
    Secret,
    Reader,
    admin,
    "secret:read:all",
    "Read Secrets",
    "Читать секреты"
);
permission!(
    ManageSecrets,
    Secret,
    Writer,
    admin,
    "secret:manage:all",
    "Manage Secrets",
    "Управлять: секреты"
);
permission!(
    ReadConfigMaps,
    ConfigMap,
    Reader,
    read,
    "config-map:read:all",
    "Read ConfigMaps",
    "Читать наборы настроек"
);
permission!(
    ManageConfigMaps,
    ConfigMap,
    Writer,
    admin,
    "config-map:manage:all",
    "Manage ConfigMaps",
    "Управлять: наборы настроек"
);
permission!(
    ReadServices,
    Service,
    Reader,
    read,
    "service:read:all",
    "Read Services",
    "Читать сервисы"
);
permission!(
    ManageServices,
    Service,
    Writer,
    admin,
    "service:manage:all",
    "Manage Services",
    "Управлять: сервисы"
);
permission!(
    ReadIngresses,
    Ingress,
    Reader,
    read,
    "ingress:read:all",
    "Read Ingresses",
    "Читать входные маршруты"
);
permission!(
    ManageIngresses,
    Ingress,
    Writer,
    admin,
    "ingress:manage:all",
    "Manage Ingresses",
    "Управлять: входные маршруты"
);
permission!(
    ReadNetworkPolicies,
    NetworkPolicy,
    Reader,
    read,
    "network-policy:read:all",
    "Read NetworkPolicies",
    "Читать сетевые политики"
);
permission!(
    ManageNetworkPolicies,
    NetworkPolicy,
    Writer,
    admin,
    "network-policy:manage:all",
    "Manage NetworkPolicies",
    "Управлять: сетевые политики"
);
permission!(
    ReadPersistentVolumeClaims,
    PersistentVolumeClaim,
    Reader,
    read,
    "persistent-volume-claim:read:all",
    "Read PersistentVolumeClaims",
    "Читать запросы томов"
);
permission!(
    ManagePersistentVolumeClaims,
    PersistentVolumeClaim,
    Writer,
    admin,
    "persistent-volume-claim:manage:all",
    "Manage PersistentVolumeClaims",
    "Управлять: запросы томов"
);
permission!(
    ReadServiceAccounts,
    ServiceAccount,
    Reader,
    read,
    "service-account:read:all",
    "Read ServiceAccounts",
    "Читать сервисные аккаунты"
);
permission!(
    ManageServiceAccounts,
    ServiceAccount,
    Writer,
    admin,
    "service-account:manage:all",
    "Manage ServiceAccounts",
    "Управлять: сервисные аккаунты"
);
permission!(
    ReadRoles,
    Role,
    Reader,
    read,
    "role:read:all",
    "Read Roles",
    "Читать роли"
);
permission!(
    ManageRoles,
    Role,
    Writer,
    admin,
    "role:manage:all",
    "Manage Roles",
    "Управлять: роли"
);
permission!(
    ReadRoleBindings,
    RoleBinding,
    Reader,
    read,
    "role-binding:read:all",
    "Read RoleBindings",
    "Читать привязки ролей"
);
permission!(
    ManageRoleBindings,
    RoleBinding,
    Writer,
    admin,
    "role-binding:manage:all",
    "Manage RoleBindings",
    "Управлять: привязки ролей"
);
