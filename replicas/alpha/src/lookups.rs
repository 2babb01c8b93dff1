//! The lookups of replicas follow from their records: made true as a whole, so that a crash between a record and its
//! lookups leaves nothing wrong for long.

use std::collections::BTreeMap;

use alpha_v1::{ReplicaId, ReplicaKey};
use reside::Contract;
use reside::prelude::*;
use user_manager_v1::UserManagerContract;

use crate::state::State;

/// Makes every lookup lead to the replicas that are loaded, oldest first.
pub async fn reconcile(state: &State) -> Result<(), BoxError> {
    let records = state.all_records().await?;
    let mut by_name: BTreeMap<&str, Vec<ReplicaId>> = BTreeMap::new();
    let mut by_identity: BTreeMap<&Identity, Vec<ReplicaId>> = BTreeMap::new();
    let mut by_contract: BTreeMap<Identity, Vec<ReplicaId>> = BTreeMap::new();
    for reference in state.contracts.entries()?.values() {
        let contract = state.node.load(reference).await?.get()?;
        by_contract.insert(contract.identity, Vec::new());
    }
    for record in &records {
        let loaded = record.unloaded_at.is_none().then_some(record.id);
        by_name.entry(&record.name).or_default().extend(loaded);
        by_identity.entry(&record.identity).or_default().extend(loaded);
        for contract in &record.implementations {
            by_contract.entry(contract.clone()).or_default().extend(loaded);
        }
    }
    for (name, ids) in by_name {
        state.set_index(ReplicaKey::Name(name), ids).await?;
    }
    for (identity, ids) in by_identity {
        state.set_index(ReplicaKey::Identity(identity), ids).await?;
    }
    for (contract, ids) in &by_contract {
        state
            .set_index(ReplicaKey::Contract(contract), ids.clone())
            .await?;
    }
    let user_manager = by_contract
        .get(&UserManagerContract::identity())
        .and_then(|ids| ids.last());
    let user_manager = user_manager.and_then(|id| records.iter().find(|record| record.id == *id));
    let user_manager = user_manager.map(|record| record.account.clone());
    Ok(state.data.update(|data| data.user_manager = user_manager)?)
}
