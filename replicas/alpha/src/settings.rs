//! What Alpha must know of its cluster to write workloads; set by the bootstrap.

use serde::{Deserialize, Serialize};

/// Addresses that every replica of the cluster gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// WebSocket address of the sync server, as replicas reach it.
    pub sync_server_url: String,
    /// Where replicas reach a replica; `{replica.name}` stands for its name.
    pub internal_endpoint: String,
    /// Where everybody else reaches the cluster.
    pub external_endpoint: Option<String>,
    /// Folder of the image store, where images come from a folder of this machine.
    pub image_store: Option<String>,
}

impl ClusterSettings {
    /// The internal endpoint of one replica.
    pub fn internal_endpoint_of(&self, replica: &str) -> String {
        self.internal_endpoint.replace("{replica.name}", replica)
    }
}
