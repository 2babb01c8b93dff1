//! Who has which permission where, and why: grants follow from what the loaded versions ask for, from requests that were
//! approved, and from what administrators granted; the control blocks follow from the grants.

use std::collections::{BTreeMap, HashSet};

use alpha_v1::{GrantKind, GrantReason, GrantRecord, ReplicaId, RequestStatus};
use jazz::{LoadError, WriteError};
use reside::prelude::*;
use reside::rcb::{Grant, PermissionEntry};

use crate::requests::served_by;
use crate::state::{LoadedReplica, State};

/// Permissions that loaded versions ask for, or asked for at run time, by the key of the grant.
type Wanted = BTreeMap<String, GrantRecord>;

/// Brings the grants in step with the loaded versions, then the control blocks with the grants. Returns when the next
/// grant ends.
pub async fn reconcile(
    state: &State,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BoxError> {
    let mut wanted = wanted(replicas);
    add_approved_requests(state, replicas, &mut wanted).await?;
    let unloaded = unloaded_accounts(state).await?;
    for (key, reference) in state.grants.entries()? {
        let grant = state.node.load(&reference).await?;
        let before = grant.get()?;
        let mut after = merged(before.clone(), wanted.get(&key), replicas, now);
        if unloaded.contains(&after.account) {
            after.reasons.clear();
        }
        if after != before {
            grant.replace(&after)?;
        }
    }
    for (key, grant) in wanted {
        if !state.grants.contains_key(&key)? {
            insert_grant(state, &key, grant).await?;
        }
    }
    for replica in replicas.values() {
        write_requirements(state, replica, replicas).await?;
    }
    write_control_blocks(state, replicas, now).await
}

/// Writes a new grant.
pub async fn insert_grant(
    state: &State,
    key: &str,
    grant: GrantRecord,
) -> Result<Co<GrantRecord>, WriteError> {
    let unique = format!("grant/{key}");
    let made = state
        .node
        .upsert_unique(&state.grants.owner(), unique, grant)
        .await?;
    state.grants.insert(key, &made.reference())?;
    Ok(made)
}

/// The accounts of replicas that were unloaded: they have no rights, however they came by them.
async fn unloaded_accounts(state: &State) -> Result<HashSet<AccountId>, BoxError> {
    let records = state.all_records().await?.into_iter();
    let unloaded = records.filter(|record| record.unloaded_at.is_some());
    Ok(unloaded.map(|record| record.account).collect())
}

/// What the current versions ask for, by the key of the grant.
fn wanted(replicas: &BTreeMap<ReplicaId, LoadedReplica>) -> Wanted {
    let mut wanted = Wanted::new();
    for replica in replicas.values() {
        let Some(version) = replica.current() else {
            continue;
        };
        for (key, required) in &version.manifest.requirements {
            for &target in version.requirements.get(key).into_iter().flatten() {
                for permission in &required.permissions {
                    let reason = GrantReason {
                        kind: GrantKind::Static {
                            replica_id: replica.record.id,
                            version_id: version.id,
                        },
                        params: Some(permission.params.clone()),
                        expires_at: version.permissions_expire_at,
                    };
                    let grant = GrantRecord {
                        replica_id: target,
                        account: replica.record.account.clone(),
                        contract: required.identity.clone(),
                        permission: permission.name.clone(),
                        instance_id: permission.instance_id.clone(),
                        params: permission.params.clone(),
                        reasons: Vec::new(),
                        revoked: None,
                    };
                    wanted.entry(grant.key()).or_insert(grant).reasons.push(reason);
                }
            }
        }
    }
    wanted
}

/// Adds what was asked for at run time and approved.
async fn add_approved_requests(
    state: &State,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
    wanted: &mut Wanted,
) -> Result<(), BoxError> {
    for (_, request) in state.all_permission_requests().await? {
        let (RequestStatus::Approved, Some(by), Some(at)) =
            (request.status, &request.decided_by, request.decided_at)
        else {
            continue;
        };
        for target in served_by(&request, replicas) {
            let reason = GrantReason {
                kind: GrantKind::Dynamic {
                    request_id: request.id,
                    by: by.clone(),
                    at,
                },
                params: Some(request.params.clone()),
                expires_at: request.expires_at,
            };
            let grant = GrantRecord {
                replica_id: target,
                account: request.account.clone(),
                contract: request.contract.clone(),
                permission: request.permission.clone(),
                instance_id: request.instance_id.clone(),
                params: request.params.clone(),
                reasons: Vec::new(),
                revoked: None,
            };
            wanted.entry(grant.key()).or_insert(grant).reasons.push(reason);
        }
    }
    Ok(())
}

/// A grant as it should be: reasons that have gone are taken out, new ones put in.
fn merged(
    mut grant: GrantRecord,
    wanted: Option<&GrantRecord>,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
    now: Timestamp,
) -> GrantRecord {
    let target_is_loaded = replicas.contains_key(&grant.replica_id);
    grant
        .reasons
        .retain(|reason| matches!(reason.kind, GrantKind::Manual { .. }) && target_is_loaded);
    if let Some(wanted) = wanted.filter(|_| target_is_loaded) {
        grant.reasons.extend(wanted.reasons.iter().cloned());
    }
    grant.params = grant.expected(now).params;
    grant
}

/// Tells a replica who serves its requirements.
async fn write_requirements(
    state: &State,
    replica: &LoadedReplica,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<(), BoxError> {
    let Some(version) = replica.current() else {
        return Ok(());
    };
    let block = state.node.load(&replica.record.rcb).await?;
    let me = state.node.account_id();
    if block.get()?.alpha.as_ref() != Some(me) {
        block.update(|block| block.alpha = Some(me.clone()))?;
    }
    for (key, chosen) in &version.requirements {
        let accounts: Vec<AccountId> = chosen
            .iter()
            .filter_map(|id| replicas.get(id))
            .map(|target| target.record.account.clone())
            .collect();
        ControlBlock::set_requirement(&block, key, &accounts).await?;
    }
    let requirements = state.node.load(&block.get()?.requirements).await?;
    for key in requirements
        .keys()?
        .iter()
        .filter(|key| !version.requirements.contains_key(*key))
    {
        requirements.remove(key)?;
    }
    Ok(())
}

/// Makes the control blocks expect what the grants say, and takes out of them what is over and done with. Returns when the
/// next grant ends.
async fn write_control_blocks(
    state: &State,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BoxError> {
    let mut next_end: Option<Timestamp> = None;
    for reference in state.grants.entries()?.values() {
        let grant = state.node.load(reference).await?.get()?;
        if let Some(target) = replicas.get(&grant.replica_id) {
            expect(state, target, &grant, now).await?;
            if !grant.expected(now).granted {
                let block = state.node.load(&target.record.rcb).await?;
                ControlBlock::forget(&block, &grant_of(&grant), now).await?;
            }
            next_end = next_end.into_iter().chain(grant.next_end(now)).min();
        }
    }
    Ok(next_end)
}

/// Makes the control block of a replica expect what one grant says. What never was granted needs no revocation.
pub async fn expect(
    state: &State,
    target: &LoadedReplica,
    grant: &GrantRecord,
    now: Timestamp,
) -> Result<(), BoxError> {
    let expected = grant.expected(now);
    if expected.granted || find_entry(state, target, grant).await?.is_some() {
        let block = state.node.load(&target.record.rcb).await?;
        ControlBlock::expect(&block, &grant_of(grant), expected).await?;
    }
    Ok(())
}

/// Names the permission as control blocks do.
fn grant_of(grant: &GrantRecord) -> Grant {
    Grant {
        account: grant.account.clone(),
        identity: grant.contract.clone(),
        name: grant.permission.clone(),
        instance_id: grant.instance_id.clone(),
    }
}

/// Finds the entry of a grant in the control block of its replica.
pub async fn find_entry(
    state: &State,
    target: &LoadedReplica,
    grant: &GrantRecord,
) -> Result<Option<Co<PermissionEntry>>, LoadError> {
    let block = state.node.load(&target.record.rcb).await?.get()?;
    let permissions = state.node.load(&block.permissions).await?;
    match permissions.get(grant_of(grant).entry_key())? {
        Some(entry) => state.node.load(&entry).await.map(Some),
        None => Ok(None),
    }
}
