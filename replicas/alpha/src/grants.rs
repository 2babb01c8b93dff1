//! Granting and revoking by hand, and claiming a new cluster.

use std::time::Duration;

use alpha_v1::{
    AlphaContract, ChangePermission, GrantReason, GrantRecord, ManageControlBlocks, PermissionChange,
    ReplicaId,
};
use reside::Contract;
use reside::manifest::PermissionManifest;
use reside::permission::instance_id;
use reside::prelude::*;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::engine::Engine;
use crate::permissions::{expect, find_entry, insert_grant};
use crate::state::LoadedReplica;

/// How long a change waits for the replicas concerned to carry it out.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Alpha's own number.
const ALPHA: ReplicaId = 1;

fn internal(error: impl Into<BoxError>) -> RpcError {
    RpcError::internal(error)
}

/// Hashes a claim token, so that the token itself is kept nowhere.
pub fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// A change of a permission, checked.
struct Change {
    account: AccountId,
    contract: Identity,
    permission: String,
    instance_id: Option<String>,
    params: Map<String, Value>,
    targets: Vec<LoadedReplica>,
}

impl Engine {
    /// Grants a permission by hand.
    pub async fn grant(&self, by: &AccountId, asked: ChangePermission) -> RpcResult<PermissionChange> {
        let reason = GrantReason::Manual {
            by: by.clone(),
            at: Timestamp::now(),
        };
        self.change_permission(asked, Some(reason)).await
    }

    /// Takes back what was granted by hand.
    pub async fn revoke(&self, asked: ChangePermission) -> RpcResult<PermissionChange> {
        self.change_permission(asked, None).await
    }

    async fn change_permission(
        &self,
        asked: ChangePermission,
        reason: Option<GrantReason>,
    ) -> RpcResult<PermissionChange> {
        let change = self.check(asked).await?;
        {
            let _changing = self.change().await;
            for target in &change.targets {
                self.change_at(target, &change, reason.as_ref()).await?;
            }
        }
        let applied = tokio::time::timeout(APPLY_TIMEOUT, self.wait_until_applied(&change)).await;
        let applied = match applied {
            Ok(result) => result.map(|()| true).map_err(internal)?,
            Err(_) => false,
        };
        Ok(PermissionChange {
            replica_ids: change.targets.iter().map(|target| target.record.id).collect(),
            applied,
        })
    }

    async fn check(&self, asked: ChangePermission) -> RpcResult<Change> {
        let malformed = |what: &str| RpcError::malformed(format!("{what} is not valid"));
        let account: AccountId = asked
            .account_id
            .parse()
            .map_err(|_| malformed("the account id"))?;
        let contract: Identity = asked.contract.parse().map_err(|_| malformed("the contract"))?;
        let state = self.state();
        let record = state.contract(&contract).await.map_err(internal)?;
        let record = record
            .ok_or_else(|| RpcError::not_found(format!("the contract {contract} is not known here")))?;
        let manifest = record.get().map_err(internal)?.manifest;
        let defined = manifest.permissions.get(&asked.permission).ok_or_else(|| {
            let known: Vec<&str> = manifest.permissions.keys().map(String::as_str).collect();
            RpcError::not_found(format!(
                "{contract} has no permission {:?}; it has: {}",
                asked.permission,
                known.join(", ")
            ))
        })?;
        let params = check_params(defined, asked.params)?;
        state
            .node
            .load_account(&account)
            .await
            .map_err(|_| RpcError::not_found(format!("{account} is no account that this cluster knows")))?;
        let targets = self.targets(&contract, asked.replica_ids).await?;
        let instance_id = instance_id(&defined.instance_keys, &params);
        Ok(Change {
            account,
            contract,
            permission: asked.permission,
            instance_id,
            params,
            targets,
        })
    }

    /// The replicas that implement the contract: those named, or all.
    async fn targets(
        &self,
        contract: &Identity,
        named: Option<Vec<ReplicaId>>,
    ) -> RpcResult<Vec<LoadedReplica>> {
        let replicas = self.state().loaded_replicas().await.map_err(internal)?;
        let mut implementing: Vec<LoadedReplica> = replicas
            .into_values()
            .filter(|replica| replica.record.implementations.contains(contract))
            .collect();
        if let Some(named) = named {
            if let Some(other) = named
                .iter()
                .find(|id| !implementing.iter().any(|replica| replica.record.id == **id))
            {
                return Err(RpcError::not_found(format!(
                    "replica {other} does not implement {contract}"
                )));
            }
            implementing.retain(|replica| named.contains(&replica.record.id));
        }
        if implementing.is_empty() {
            return Err(RpcError::wrong_state(format!("no replica implements {contract}")));
        }
        Ok(implementing)
    }

    async fn change_at(
        &self,
        target: &LoadedReplica,
        change: &Change,
        reason: Option<&GrantReason>,
    ) -> RpcResult<()> {
        let state = self.state();
        let wanted = change.grant_at(target, reason.cloned());
        let key = wanted.key();
        let grant = match state.grants.get(&key).map_err(internal)? {
            Some(reference) => {
                let grant = state.node.load(&reference).await.map_err(internal)?;
                grant
                    .update(|grant| {
                        grant
                            .reasons
                            .retain(|reason| !matches!(reason, GrantReason::Manual { .. }));
                        if reason.is_some() {
                            grant.params = wanted.params;
                        }
                        grant.reasons.extend(reason.cloned());
                    })
                    .map_err(internal)?;
                grant
            }
            None if reason.is_none() => return Ok(()),
            None => insert_grant(state, &key, wanted).await.map_err(internal)?,
        };
        expect(state, target, &grant.get().map_err(internal)?)
            .await
            .map_err(internal)
    }

    async fn wait_until_applied(&self, change: &Change) -> Result<(), BoxError> {
        for target in &change.targets {
            let grant = change.grant_at(target, None);
            if let Some(entry) = find_entry(self.state(), target, &grant).await? {
                let mut entries = entry.subscribe();
                let settled = entries.wait_for(|entry| entry.is_settled(Timestamp::now())).await;
                settled.ok_or("Alpha is stopping")??;
            }
        }
        Ok(())
    }

    /// Makes the caller the administrator of a cluster that has none, if it knows the token.
    pub async fn claim(&self, by: &AccountId, token: &str) -> RpcResult<()> {
        let state = self.state();
        {
            let _changing = self.change().await;
            let admin = state.data.get().map_err(internal)?.super_admin_account;
            let expected = state.root.get().map_err(internal)?.claim_token_hash;
            let is_mine = admin.as_ref() == Some(by);
            if is_mine && expected.is_none() {
                return Ok(());
            }
            let given = hash_token(token);
            let matches = |expected: &String| bool::from(expected.as_bytes().ct_eq(given.as_bytes()));
            // A claim that was cut off is gone on with.
            if (admin.is_some() && !is_mine) || !expected.as_ref().is_some_and(matches) {
                return Err(RpcError::forbidden("the claim token is not valid, or was used"));
            }
            state
                .data
                .update(|data| data.super_admin_account = Some(by.clone()))
                .map_err(internal)?;
        }
        for permission in AlphaContract::manifest()
            .permissions
            .keys()
            .filter(|name| *name != ManageControlBlocks::NAME)
        {
            let asked = ChangePermission {
                account_id: by.to_string(),
                contract: AlphaContract::IDENTITY.to_owned(),
                permission: permission.clone(),
                params: None,
                replica_ids: Some(vec![ALPHA]),
            };
            self.grant(state.node.account_id(), asked).await?;
        }
        state
            .root
            .update(|root| root.claim_token_hash = None)
            .map_err(internal)
    }
}

impl Change {
    fn grant_at(&self, target: &LoadedReplica, reason: Option<GrantReason>) -> GrantRecord {
        GrantRecord {
            replica_id: target.record.id,
            account: self.account.clone(),
            contract: self.contract.clone(),
            permission: self.permission.clone(),
            instance_id: self.instance_id.clone(),
            params: self.params.clone(),
            reasons: reason.into_iter().collect(),
        }
    }
}

fn check_params(defined: &PermissionManifest, params: Option<Value>) -> RpcResult<Map<String, Value>> {
    let params = match params {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(RpcError::malformed("the params are no JSON object")),
    };
    if let Some(missing) = defined
        .instance_keys
        .iter()
        .find(|key| !params.contains_key(*key))
    {
        return Err(RpcError::malformed(format!(
            "the params lack {missing:?}, which tells instances apart"
        )));
    }
    defined
        .check_params(&params)
        .map_err(|error| RpcError::malformed(format!("the params don't fit: {error}")))?;
    Ok(params)
}
