//! What has become of permissions where they are carried out: Alpha can read every control block, and tells those who may
//! grant.

use alpha_v1::{PermissionSource, PermissionState, PermissionStateList, PermissionStates};
use reside::HandlerFailures;
use reside::prelude::*;
use reside::rcb::{PermissionEntry, UserPermissions};

use crate::engine::Engine;
use crate::state::LoadedReplica;

/// More than this are not told at once.
const STATES_MAX: usize = 5_000;

impl Engine {
    /// Tells the states of the permissions that are meant.
    pub async fn permission_states(&self, asked: &PermissionStates) -> RpcResult<PermissionStateList> {
        let replicas = self.state().loaded_replicas().await.map_err(RpcError::internal)?;
        let is_wanted = |id: &u32| asked.replica_id.is_none_or(|wanted| wanted == *id);
        let mut states = Vec::new();
        for (_, replica) in replicas.iter().filter(|(id, _)| is_wanted(id)) {
            let of_replica = self.states_at(replica, asked).await.map_err(RpcError::internal)?;
            states.extend(of_replica);
            if states.len() > STATES_MAX {
                return Err(RpcError::wrong_state(format!(
                    "there are more than {STATES_MAX}; ask for those of an account or a replica"
                )));
            }
        }
        Ok(PermissionStateList { states })
    }

    async fn states_at(
        &self,
        replica: &LoadedReplica,
        asked: &PermissionStates,
    ) -> Result<Vec<PermissionState>, BoxError> {
        let (node, now) = (&self.state().node, self.clock().now());
        let block = node.load(&replica.record.rcb).await?;
        let failures = HandlerFailures::open(&block).await?;
        let mut entries = Vec::new();
        for entry in node.load(&block.get()?.permissions).await?.entries()?.values() {
            entries.push((PermissionSource::Alpha, node.load(entry).await?.get()?));
        }
        let users = UserPermissions::open(&block).await?;
        for key in users.expected.keys()? {
            let entry = users.get(&key)?;
            entries.extend(entry.map(|entry| (PermissionSource::UserManager, entry)));
        }
        let mut states = Vec::new();
        for (source, entry) in entries.into_iter().filter(|(_, entry)| is_meant(asked, entry)) {
            let failure = failures.get(&entry.key())?;
            if asked.pending_only && entry.is_settled(now) {
                continue;
            }
            states.push(PermissionState {
                replica_id: replica.record.id,
                account_id: entry.account.to_string(),
                source,
                granted: entry.expected.is_granted(now),
                expires_at: entry.expected.expires_at,
                carried_out: entry.is_settled(now),
                effective: entry.is_effective(now),
                failure,
                contract: entry.identity.to_string(),
                permission: entry.name,
                instance_id: entry.instance_id,
                params: entry.expected.params,
            });
        }
        Ok(states)
    }
}

/// Tells whether a permission is among those that are meant.
fn is_meant(asked: &PermissionStates, entry: &PermissionEntry) -> bool {
    let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    fits(&asked.account_id, entry.account.as_str())
        && fits(&asked.contract, entry.identity.as_str())
        && fits(&asked.permission, &entry.name)
}
