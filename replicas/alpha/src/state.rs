//! Alpha's data, loaded: what it publishes, and what is its own.

use std::collections::BTreeMap;

use alpha_v1::{
    AlphaData, ContractRecord, GrantRecord, LoadRequest, ManagementBlock, ReplicaId, ReplicaIndex,
    ReplicaKey, ReplicaRecord, ReplicaVersion, RequestedPermission,
};
use jazz::{LoadError, Transaction, WriteError};
use reside::prelude::*;

use crate::plan::Plan;
use crate::settings::ClusterSettings;

/// Alpha's private data.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct AlphaRoot {
    /// Addresses of the cluster; absent until the bootstrap has set them.
    pub settings: Option<ClusterSettings>,
    /// Hash of the token that claims the cluster; absent once it has been used.
    pub claim_token_hash: Option<String>,
    /// Secrets of the agents of all replicas, by replica id. Kept here before they are used anywhere.
    pub secrets: Ref<CoRecord<String>>,
    /// Approved load requests, by request id.
    pub plans: Ref<CoRecord<Plan>>,
}

impl Migrate for AlphaRoot {
    async fn init(node: &Node, owner: &Group) -> Result<Self, BoxError> {
        Ok(Self {
            settings: None,
            claim_token_hash: None,
            secrets: node.create_record::<&str, String>(owner, [])?.reference(),
            plans: node.create_record::<&str, Plan>(owner, [])?.reference(),
        })
    }
}

/// Everything of Alpha's that is read and written all the time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    pub node: Node,
    pub data: Co<AlphaData>,
    pub root: Co<AlphaRoot>,
    pub replicas: Co<CoRecord<Ref<ReplicaRecord>>>,
    pub contracts: Co<CoRecord<Ref<ContractRecord>>>,
    pub grants: Co<CoRecord<Ref<GrantRecord>>>,
    pub load_requests: Co<CoRecord<Ref<LoadRequest>>>,
    pub permission_requests: Co<CoRecord<Ref<RequestedPermission>>>,
    pub secrets: Co<CoRecord<String>>,
    pub plans: Co<CoRecord<Plan>>,
    pub rcb_manage_group: Group,
    pub replica_manage_group: Group,
}

/// A replica with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct LoadedReplica {
    pub handle: Co<ReplicaRecord>,
    pub record: ReplicaRecord,
    pub management: ManagementBlock,
    pub versions: BTreeMap<u32, (Co<ReplicaVersion>, ReplicaVersion)>,
}

impl LoadedReplica {
    /// Returns the version that runs or should run.
    pub fn current(&self) -> Option<&ReplicaVersion> {
        self.versions
            .get(&self.record.current_version)
            .map(|(_, version)| version)
    }
}

impl State {
    /// Loads Alpha's data.
    pub async fn open(data: Co<AlphaData>, root: Co<AlphaRoot>) -> Result<Self, LoadError> {
        let node = data.node().clone();
        let (public, private) = (data.get()?, root.get()?);
        Ok(Self {
            replicas: node.load(&public.replicas).await?,
            contracts: node.load(&public.contracts).await?,
            grants: node.load(&public.grants).await?,
            load_requests: node.load(&public.load_requests).await?,
            permission_requests: alpha_v1::permission_requests(&data).await?,
            secrets: node.load(&private.secrets).await?,
            plans: node.load(&private.plans).await?,
            rcb_manage_group: node.load_group(public.rcb_manage_group.id()).await?,
            replica_manage_group: node.load_group(public.replica_manage_group.id()).await?,
            node,
            data,
            root,
        })
    }

    /// Returns the addresses of the cluster.
    pub fn settings(&self) -> Result<ClusterSettings, BoxError> {
        self.root
            .get()?
            .settings
            .ok_or_else(|| "the cluster was not set up to its end".into())
    }

    /// Loads a replica, whether it is still loaded in the cluster or not.
    pub async fn replica(&self, id: ReplicaId) -> Result<Option<LoadedReplica>, LoadError> {
        match self.replicas.get(id.to_string())? {
            Some(reference) => self.load_replica(&reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Loads all replicas that have not been unloaded, by their ids.
    pub async fn loaded_replicas(&self) -> Result<BTreeMap<ReplicaId, LoadedReplica>, LoadError> {
        let mut replicas = BTreeMap::new();
        for reference in self.replicas.entries()?.values() {
            let replica = self.load_replica(reference).await?;
            if replica.record.unloaded_at.is_none() {
                replicas.insert(replica.record.id, replica);
            }
        }
        Ok(replicas)
    }

    /// Loads the records of all replicas that ever were, oldest first.
    pub async fn all_records(&self) -> Result<Vec<ReplicaRecord>, LoadError> {
        let mut records = Vec::new();
        for reference in self.replicas.entries()?.values() {
            records.push(self.node.load(reference).await?.get()?);
        }
        records.sort_by_key(|record| record.id);
        Ok(records)
    }

    async fn load_replica(&self, reference: &Ref<ReplicaRecord>) -> Result<LoadedReplica, LoadError> {
        let handle = self.node.load(reference).await?;
        let record = handle.get()?;
        let management = self.node.load(&record.management).await?.get()?;
        let mut versions = BTreeMap::new();
        for reference in self.node.load(&record.versions).await?.entries()?.values() {
            let version = self.node.load(reference).await?;
            let snapshot = version.get()?;
            versions.insert(snapshot.id, (version, snapshot));
        }
        Ok(LoadedReplica {
            handle,
            record,
            management,
            versions,
        })
    }

    /// Loads a load request.
    pub async fn load_request(&self, id: u32) -> Result<Option<Co<LoadRequest>>, LoadError> {
        match self.load_requests.get(id.to_string())? {
            Some(reference) => self.node.load(&reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Loads all load requests, oldest first.
    pub async fn all_load_requests(&self) -> Result<Vec<(Co<LoadRequest>, LoadRequest)>, LoadError> {
        let mut requests = Vec::new();
        for reference in self.load_requests.entries()?.values() {
            let request = self.node.load(reference).await?;
            let snapshot = request.get()?;
            requests.push((request, snapshot));
        }
        requests.sort_by_key(|(_, request)| request.id);
        Ok(requests)
    }

    /// Loads a permission request.
    pub async fn permission_request(&self, id: u32) -> Result<Option<Co<RequestedPermission>>, LoadError> {
        match self.permission_requests.get(id.to_string())? {
            Some(reference) => self.node.load(&reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// Loads all permission requests, oldest first.
    pub async fn all_permission_requests(
        &self,
    ) -> Result<Vec<(Co<RequestedPermission>, RequestedPermission)>, LoadError> {
        let mut requests = Vec::new();
        for reference in self.permission_requests.entries()?.values() {
            let request = self.node.load(reference).await?;
            let snapshot = request.get()?;
            requests.push((request, snapshot));
        }
        requests.sort_by_key(|(_, request)| request.id);
        Ok(requests)
    }

    /// Loads the record of a contract.
    pub async fn contract(&self, identity: &Identity) -> Result<Option<Co<ContractRecord>>, LoadError> {
        alpha_v1::contract_by_identity(&self.data, identity).await
    }

    /// The number after the highest key of a record. Keys are never removed, so numbers are never used twice.
    pub fn next_number<'a>(keys: impl IntoIterator<Item = &'a String>, at_least: u32) -> u32 {
        let highest = keys.into_iter().filter_map(|key| key.parse::<u32>().ok()).max();
        highest.map_or(at_least, |highest| at_least.max(highest + 1))
    }

    /// Makes a lookup lead to these replicas.
    pub async fn set_index(
        &self,
        key: ReplicaKey<'_>,
        replica_ids: Vec<ReplicaId>,
    ) -> Result<(), WriteError> {
        let (owner, wanted) = (self.replicas.owner(), ReplicaIndex { replica_ids });
        let index = self
            .node
            .get_or_create_unique(&owner, key.uniqueness(), wanted.clone())
            .await?;
        if index.get()? != wanted {
            index.replace(&wanted)?;
        }
        Ok(())
    }

    /// Runs writes as one.
    pub fn transaction<R>(
        &self,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        self.node.transaction(run)
    }
}
