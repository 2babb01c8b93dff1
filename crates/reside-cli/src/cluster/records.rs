//! Reading Alpha's records as commands show them.

use std::time::Duration;

use alpha_v1::{
    LoadRequest, ManagementBlock, ReadLoadRequests, ReadReplicas, ReplicaId, ReplicaRecord, ReplicaVersion,
};
use futures::future::try_join_all;
use jazz::{Co, CoMap, CoRecord, LoadError, Node, Ref};

use tokio::time::timeout;

use super::session::Session;
use crate::error::CommandError;

/// How long something that Alpha has announced may take to arrive.
const ARRIVAL_TIME: Duration = Duration::from_secs(30);

/// A replica with what a person wants to know first.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its record.
    pub record: ReplicaRecord,
    /// Its current version.
    pub version: ReplicaVersion,
    /// Its management block.
    pub management: ManagementBlock,
}

impl Replica {
    /// The image and digest of the current version.
    pub fn digest(&self) -> &str {
        self.version
            .image
            .split_once('@')
            .map_or("", |(_, digest)| digest)
    }
}

impl Session {
    /// All replicas that are loaded, by number.
    pub async fn replicas(&self) -> Result<Vec<Replica>, CommandError> {
        let read = async {
            let records = load_all(self.node(), &self.alpha_data_record().await?).await?;
            let loaded = records.into_iter().filter(|record| record.unloaded_at.is_none());
            try_join_all(loaded.map(|record| self.complete(record))).await
        };
        read.await
            .map_err(|error| self.cannot_load::<ReadReplicas>(error, "the replicas"))
    }

    /// The records of all replicas there ever were, by number.
    pub async fn replica_records(&self) -> Result<Vec<ReplicaRecord>, LoadError> {
        load_all(self.node(), &self.alpha_data_record().await?).await
    }

    async fn alpha_data_record(&self) -> Result<Co<CoRecord<Ref<ReplicaRecord>>>, LoadError> {
        self.node().load(&self.data().get()?.replicas).await
    }

    /// Adds what a record refers to.
    pub async fn complete(&self, record: ReplicaRecord) -> Result<Replica, LoadError> {
        let management = async { self.node().load(&record.management).await?.get() };
        let version = async { self.version(&record, record.current_version).await?.get() };
        let (management, version) = tokio::try_join!(management, version)?;
        Ok(Replica {
            record,
            version,
            management,
        })
    }

    /// Loads a version of a replica.
    pub async fn version(&self, record: &ReplicaRecord, id: u32) -> Result<Co<ReplicaVersion>, LoadError> {
        let versions = self.node().load(&record.versions).await?;
        let version = versions.get(id.to_string())?;
        let version = version.ok_or_else(|| LoadError::Unavailable(versions.id().clone()))?;
        self.node().load(&version).await
    }

    /// Waits for a version that Alpha has decided on: it is written after the approval was answered.
    pub async fn arriving_version(
        &self,
        replica: ReplicaId,
        version: u32,
    ) -> Result<(ReplicaRecord, Co<ReplicaVersion>), LoadError> {
        let record = arriving(&self.alpha_data_record().await?, replica).await?.get()?;
        let versions = self.node().load(&record.versions).await?;
        Ok((record, arriving(&versions, version).await?))
    }

    /// All versions of a replica, by number.
    pub async fn versions(&self, record: &ReplicaRecord) -> Result<Vec<ReplicaVersion>, LoadError> {
        load_all(self.node(), &self.node().load(&record.versions).await?).await
    }

    /// The name of a replica, whether it is still loaded or not.
    pub async fn replica_name(&self, id: ReplicaId) -> String {
        let found = alpha_v1::replica_by_id(self.data(), id).await.ok().flatten();
        let name = found
            .and_then(|replica| replica.get().ok())
            .map(|replica| replica.name);
        name.unwrap_or_else(|| id.to_string())
    }

    /// The names of several replicas.
    pub async fn replica_names(&self, ids: &[ReplicaId]) -> Vec<String> {
        futures::future::join_all(ids.iter().map(|id| self.replica_name(*id))).await
    }

    /// All load requests, by number.
    pub async fn load_requests(&self) -> Result<Vec<LoadRequest>, CommandError> {
        let read = async {
            let records = self.node().load(&self.data().get()?.load_requests).await?;
            load_all(self.node(), &records).await
        };
        read.await
            .map_err(|error| self.cannot_load::<ReadLoadRequests>(error, "the load requests"))
    }

    /// Waits for a load request that Alpha has just registered.
    pub async fn arriving_load_request(&self, id: u32) -> Result<Co<LoadRequest>, CommandError> {
        let read = async {
            let records = self.node().load(&self.data().get()?.load_requests).await?;
            arriving(&records, id).await
        };
        read.await
            .map_err(|error| self.cannot_load::<ReadLoadRequests>(error, "the load requests"))
    }

    /// Finds a load request.
    pub async fn load_request(&self, id: u32) -> Result<Co<LoadRequest>, CommandError> {
        let read = async {
            let records = self.node().load(&self.data().get()?.load_requests).await?;
            match records.get(id.to_string())? {
                Some(request) => self.node().load(&request).await.map(Some),
                None => Ok(None),
            }
        };
        let found = read
            .await
            .map_err(|error| self.cannot_load::<ReadLoadRequests>(error, "the load requests"))?;
        found.ok_or_else(|| {
            CommandError::failed(format!("there is no load request {id}"))
                .help("`reside load-request list` shows all of them")
        })
    }
}

/// Loads an entry that is there or on its way: what Alpha answers can come before what it wrote.
async fn arriving<T: CoMap>(record: &Co<CoRecord<Ref<T>>>, key: u32) -> Result<Co<T>, LoadError> {
    let key = key.to_string();
    let mut changes = record.subscribe();
    let found = timeout(
        ARRIVAL_TIME,
        changes.wait_for(|entries| entries.contains_key(&key)),
    );
    let mut entries = match found.await {
        Ok(Some(entries)) => entries?,
        Ok(None) | Err(_) => return Err(LoadError::Unavailable(record.id().clone())),
    };
    let reference = entries
        .remove(&key)
        .ok_or_else(|| LoadError::Unavailable(record.id().clone()))?;
    record.node().load(&reference).await
}

/// Loads all maps of a record, in the order of their numbers.
pub async fn load_all<T: CoMap>(node: &Node, record: &Co<CoRecord<Ref<T>>>) -> Result<Vec<T>, LoadError> {
    let mut entries: Vec<_> = record.entries()?.into_iter().collect();
    entries.sort_by_key(|(key, _)| (key.parse::<u32>().unwrap_or(u32::MAX), key.clone()));
    let load = |reference: Ref<T>| async move { node.load(&reference).await?.get() };
    try_join_all(entries.into_iter().map(|(_, reference)| load(reference))).await
}
