//! Finding things without reading all of them: each lookup is a value with an id that follows from what is looked for.

use jazz::{Co, CoMap, LoadError};
use reside::RequestedPermission;
use reside::prelude::*;

use crate::data::load;
use crate::{AlphaData, ContractRecord, ReplicaId, ReplicaRecord};

/// Replicas under one key of a lookup, oldest first.
#[derive(CoMap, Clone, Debug, Default, PartialEq)]
pub struct ReplicaIndex {
    /// Their numbers.
    pub replica_ids: Vec<ReplicaId>,
}

/// What a lookup of replicas goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaKey<'a> {
    /// The name in the cluster.
    Name(&'a str),
    /// The image name.
    Identity(&'a Identity),
    /// A contract that the current version implements.
    Contract(&'a Identity),
}

impl ReplicaKey<'_> {
    /// Returns what makes the id of the lookup in the group that owns the replicas.
    pub fn uniqueness(&self) -> String {
        match self {
            Self::Name(name) => format!("replica-by-name/{name}"),
            Self::Identity(identity) => format!("replicas-by-identity/{identity}"),
            Self::Contract(contract) => format!("replicas-by-contract/{contract}"),
        }
    }
}

/// Finds the numbers of replicas.
pub async fn find_replicas(data: &Co<AlphaData>, key: &ReplicaKey<'_>) -> Result<Vec<ReplicaId>, LoadError> {
    let owner = load(data, &data.get()?.replicas).await?.owner();
    let index = data
        .node()
        .load_unique::<ReplicaIndex>(owner.id(), key.uniqueness())
        .await?;
    Ok(index
        .map(|index| index.get())
        .transpose()?
        .unwrap_or_default()
        .replica_ids)
}

/// Finds a replica by its number.
pub async fn replica_by_id(
    data: &Co<AlphaData>,
    id: ReplicaId,
) -> Result<Option<Co<ReplicaRecord>>, LoadError> {
    let replicas = load(data, &data.get()?.replicas).await?;
    match replicas.get(id.to_string())? {
        Some(replica) => load(data, &replica).await.map(Some),
        None => Ok(None),
    }
}

/// Finds a replica by its name.
pub async fn replica_by_name(
    data: &Co<AlphaData>,
    name: &str,
) -> Result<Option<Co<ReplicaRecord>>, LoadError> {
    match find_replicas(data, &ReplicaKey::Name(name)).await?.last() {
        Some(id) => replica_by_id(data, *id).await,
        None => Ok(None),
    }
}

/// Loads the permissions that were asked for at run time.
pub async fn permission_requests(
    data: &Co<AlphaData>,
) -> Result<Co<CoRecord<Ref<RequestedPermission>>>, LoadError> {
    let requests = data.get()?.permission_requests;
    load(
        data,
        &requests.ok_or_else(|| LoadError::Unavailable(data.id().clone()))?,
    )
    .await
}

/// Finds a contract by its identity.
pub async fn contract_by_identity(
    data: &Co<AlphaData>,
    identity: &Identity,
) -> Result<Option<Co<ContractRecord>>, LoadError> {
    let owner = load(data, &data.get()?.contracts).await?.owner();
    data.node()
        .load_unique::<ContractRecord>(owner.id(), format!("contract/{identity}"))
        .await
}
