//! The contract of the sentinel, the only replica that touches an orchestrator (SYSTEM.md, section 7).
//!
//! Its data are collections of [`ManagedObject`]s, one per kind. Who may manage a collection writes manifests into it;
//! the sentinel makes the orchestrator agree with them and writes back what it observes. Two replicas implement the
//! contract: one over Kubernetes, one over the runtime of a single machine. Nothing here tells them apart.

mod collections;
mod kind;
mod permissions;

use jazz::CoMap;
use reside::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use collections::*;
pub use kind::Kind;
pub use permissions::*;

/// Keeps the objects of an orchestrator as its collections say.
#[contract(
    identity = "ghcr.io/exeteres/reside/contracts/kubernetes-sentinel.v1",
    data = SentinelData,
    permissions(ReadDeployments, ManageDeployments,
        ReadStatefulSets, ManageStatefulSets,
        ReadJobs, ManageJobs,
        ReadSecrets, ManageSecrets,
        ReadConfigMaps, ManageConfigMaps,
        ReadServices, ManageServices,
        ReadIngresses, ManageIngresses,
        ReadNetworkPolicies, ManageNetworkPolicies,
        ReadPersistentVolumeClaims, ManagePersistentVolumeClaims,
        ReadServiceAccounts, ManageServiceAccounts,
        ReadRoles, ManageRoles,
        ReadRoleBindings, ManageRoleBindings),
    en("Sentinel", "Keeps the objects of the orchestrator as its collections say"),
    ru("Страж", "Поддерживает объекты оркестратора такими, как записано в его коллекциях"),
)]
pub trait KubernetesSentinel {}

/// What the sentinel has done with the manifest of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectStatus {
    /// The manifest was written and waits for the sentinel.
    Requested,
    /// The orchestrator has the manifest.
    Updated,
    /// The manifest was refused; `error_message` says why.
    Error,
}

/// One object of the orchestrator, as wished for and as observed.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ManagedObject {
    /// Unique in its collection.
    pub name: String,
    /// Set to [`ObjectStatus::Requested`] together with every change of `manifest`.
    pub status: ObjectStatus,
    /// The desired object in the shape of the Kubernetes API; absent: the object is to be deleted.
    pub manifest: Option<Value>,
    /// The object as the orchestrator reports it, `status` included.
    pub live: Option<Value>,
    /// Why the last manifest was refused.
    pub error_message: Option<String>,
}
