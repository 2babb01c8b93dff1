//! The sentinel's data: one collection per kind, each with a group of its own that decides who sees and writes it.

use jazz::{Co, CoMap, CoRecord, Group, Node, Ref, WriteError};
use reside::prelude::*;

use crate::{Kind, ManagedObject};

/// A collection: object name to object.
pub type Collection = CoRecord<Ref<ManagedObject>>;

/// The collections. The map is public, what it leads to is not.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct SentinelData {
    /// Objects of the kind [`Kind::Deployment`].
    pub deployments: Ref<Collection>,
    /// Objects of the kind [`Kind::StatefulSet`].
    pub stateful_sets: Ref<Collection>,
    /// Objects of the kind [`Kind::Job`].
    pub jobs: Ref<Collection>,
    /// Objects of the kind [`Kind::Secret`].
    pub secrets: Ref<Collection>,
    /// Objects of the kind [`Kind::ConfigMap`].
    pub config_maps: Ref<Collection>,
    /// Objects of the kind [`Kind::Service`].
    pub services: Ref<Collection>,
    /// Objects of the kind [`Kind::Ingress`].
    pub ingresses: Ref<Collection>,
    /// Objects of the kind [`Kind::NetworkPolicy`].
    pub network_policies: Ref<Collection>,
    /// Objects of the kind [`Kind::PersistentVolumeClaim`].
    pub persistent_volume_claims: Ref<Collection>,
    /// Objects of the kind [`Kind::ServiceAccount`].
    pub service_accounts: Ref<Collection>,
    /// Objects of the kind [`Kind::Role`].
    pub roles: Ref<Collection>,
    /// Objects of the kind [`Kind::RoleBinding`].
    pub role_bindings: Ref<Collection>,
}

impl SentinelData {
    /// Returns the collection of a kind.
    pub fn collection(&self, kind: Kind) -> &Ref<Collection> {
        match kind {
            Kind::Deployment => &self.deployments,
            Kind::StatefulSet => &self.stateful_sets,
            Kind::Job => &self.jobs,
            Kind::Secret => &self.secrets,
            Kind::ConfigMap => &self.config_maps,
            Kind::Service => &self.services,
            Kind::Ingress => &self.ingresses,
            Kind::NetworkPolicy => &self.network_policies,
            Kind::PersistentVolumeClaim => &self.persistent_volume_claims,
            Kind::ServiceAccount => &self.service_accounts,
            Kind::Role => &self.roles,
            Kind::RoleBinding => &self.role_bindings,
        }
    }
}

impl Migrate for SentinelData {
    async fn init(node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        let collection = || -> Result<Ref<Collection>, WriteError> {
            let group = node.create_group()?;
            Ok(node
                .create_record::<&str, Ref<ManagedObject>>(&group, [])?
                .reference())
        };
        Ok(Self {
            deployments: collection()?,
            stateful_sets: collection()?,
            jobs: collection()?,
            secrets: collection()?,
            config_maps: collection()?,
            services: collection()?,
            ingresses: collection()?,
            network_policies: collection()?,
            persistent_volume_claims: collection()?,
            service_accounts: collection()?,
            roles: collection()?,
            role_bindings: collection()?,
        })
    }
}

/// Returns the group that owns the collection of a kind.
pub(crate) async fn group_of(data: &Co<SentinelData>, kind: Kind) -> Result<Group, BoxError> {
    let collection = data.get()?.collection(kind).clone();
    Ok(data.node().load(&collection).await?.owner())
}
