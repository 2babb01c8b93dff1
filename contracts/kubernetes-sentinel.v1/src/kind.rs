//! The kinds of objects that the sentinel manages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of object. Each has a collection and two permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `Deployment`.
    Deployment,
    /// `StatefulSet`.
    StatefulSet,
    /// `Job`.
    Job,
    /// `Secret`.
    Secret,
    /// `ConfigMap`.
    ConfigMap,
    /// `Service`.
    Service,
    /// `Ingress`.
    Ingress,
    /// `NetworkPolicy`.
    NetworkPolicy,
    /// `PersistentVolumeClaim`.
    PersistentVolumeClaim,
    /// `ServiceAccount`.
    ServiceAccount,
    /// `Role`.
    Role,
    /// `RoleBinding`.
    RoleBinding,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::Job,
        Self::Secret,
        Self::ConfigMap,
        Self::Service,
        Self::Ingress,
        Self::NetworkPolicy,
        Self::PersistentVolumeClaim,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
