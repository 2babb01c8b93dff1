//! Granting and revoking by hand, and claiming a new cluster.

use std::time::Duration;

use alpha_v1::{
    AlphaContract, ChangePermission, GrantKind, GrantReason, GrantRecord, ManageControlBlocks,
    PermissionChange, ReplicaId, RequestedPermission, Revocation,
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

/// What an administrator decided about a permission.
enum Decision {
    Grant(GrantReason),
    Revoke(Revocation),
}

impl Decision {
    fn apply(&self, grant: &mut GrantRecord, now: Timestamp) {
        let had = grant.reasons.len();
        match self {
            Self::Grant(reason) => {
                grant
                    .reasons
                    .retain(|reason| !matches!(reason.kind, GrantKind::Manual { .. }));
                grant.reasons.push(reason.clone());
            }
            Self::Revoke(revocation) => {
                // What a version asks for stays for as long as it is current.
                grant
                    .reasons
                    .retain(|reason| matches!(reason.kind, GrantKind::Static { .. }));
                if grant.reasons.len() < had {
                    grant.revoked = Some(revocation.clone());
                }
            }
        }
        grant.params = grant.expected(now).params;
    }
}

/// Refuses an end that has passed.
pub fn check_end(expires_at: Option<Timestamp>, now: Timestamp) -> RpcResult<()> {
    match expires_at {
        Some(end) if end <= now => Err(RpcError::malformed(format!("the end {end} has passed already"))),
        _ => Ok(()),
    }
}

/// A change of a permission, checked.
pub struct Change {
    account: AccountId,
    contract: Identity,
    permission: String,
    instance_id: Option<String>,
    params: Map<String, Value>,
    pub targets: Vec<LoadedReplica>,
}

impl Engine {
    /// Grants a permission by hand.
    pub async fn grant(
        &self,
        by: &AccountId,
        asked: ChangePermission,
        expires_at: Option<Timestamp>,
    ) -> RpcResult<PermissionChange> {
        let now = self.clock().now();
        check_end(expires_at, now)?;
        let change = self.check(asked).await?;
        let reason = GrantReason {
            kind: GrantKind::Manual {
                by: by.clone(),
                at: now,
            },
            params: Some(change.params.clone()),
            expires_at,
        };
        self.make_change(change, Decision::Grant(reason)).await
    }

    /// Takes back what was granted by hand.
    pub async fn revoke(&self, by: &AccountId, asked: ChangePermission) -> RpcResult<PermissionChange> {
        let revocation = Revocation {
            by: by.clone(),
            at: self.clock().now(),
        };
        let change = self.check(asked).await?;
        self.make_change(change, Decision::Revoke(revocation)).await
    }

    async fn make_change(&self, change: Change, decision: Decision) -> RpcResult<PermissionChange> {
        let mut granted_at = Vec::new();
        {
            let _changing = self.change().await;
            if let Decision::Revoke(Revocation { by, .. }) = &decision {
                self.revoke_requests(by, &change).await.map_err(internal)?;
            }
            for target in &change.targets {
                if self.change_at(target, &change, &decision).await? {
                    granted_at.push(target.record.id);
                }
            }
        }
        let mut changed = self.carried_out(&change).await?;
        if matches!(decision, Decision::Revoke(_)) {
            changed.still_granted_at = granted_at;
        }
        Ok(changed)
    }

    /// Waits a little until the replicas concerned have carried a change out.
    pub(crate) async fn carried_out(&self, change: &Change) -> RpcResult<PermissionChange> {
        let applied = tokio::time::timeout(APPLY_TIMEOUT, self.wait_until_applied(change)).await;
        let applied = match applied {
            Ok(result) => result.map(|()| true).map_err(internal)?,
            Err(_) => false,
        };
        Ok(PermissionChange {
            replica_ids: change.targets.iter().map(|target| target.record.id).collect(),
            applied,
            still_granted_at: Vec::new(),
        })
    }

    async fn check(&self, asked: ChangePermission) -> RpcResult<Change> {
        let malformed = |what: &str| RpcError::malformed(format!("{what} is not valid"));
        let account: AccountId = asked
            .account_id
            .parse()
            .map_err(|_| malformed("the account id"))?;
        let contract: Identity = asked.contract.parse().map_err(|_| malformed("the contract"))?;
        let defined = self.defined(&contract, &asked.permission).await?;
        let params = check_params(&defined, asked.params)?;
        self.state()
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

    /// A permission as its contract defines it.
    pub(crate) async fn defined(
        &self,
        contract: &Identity,
        permission: &str,
    ) -> RpcResult<PermissionManifest> {
        let record = self.state().contract(contract).await.map_err(internal)?;
        let record = record
            .ok_or_else(|| RpcError::not_found(format!("the contract {contract} is not known here")))?;
        let manifest = record.get().map_err(internal)?.manifest;
        manifest.permissions.get(permission).cloned().ok_or_else(|| {
            let known: Vec<&str> = manifest.permissions.keys().map(String::as_str).collect();
            RpcError::not_found(format!(
                "{contract} has no permission {permission:?}; it has: {}",
                known.join(", ")
            ))
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

    /// Changes the grant at one replica; tells whether it is granted then.
    async fn change_at(
        &self,
        target: &LoadedReplica,
        change: &Change,
        decision: &Decision,
    ) -> RpcResult<bool> {
        let (state, now) = (self.state(), self.clock().now());
        let mut grant = change.grant_at(target);
        let key = grant.key();
        let known = state.grants.get(&key).map_err(internal)?;
        if let Some(known) = &known {
            grant = state
                .node
                .load(known)
                .await
                .map_err(internal)?
                .get()
                .map_err(internal)?;
        }
        decision.apply(&mut grant, now);
        match known {
            Some(known) => {
                let known = state.node.load(&known).await.map_err(internal)?;
                known.replace(&grant).map_err(internal)?;
            }
            None if grant.reasons.is_empty() => return Ok(false),
            None => drop(insert_grant(state, &key, grant.clone()).await.map_err(internal)?),
        }
        expect(state, target, &grant, now).await.map_err(internal)?;
        Ok(grant.expected(now).granted)
    }

    async fn wait_until_applied(&self, change: &Change) -> Result<(), BoxError> {
        for target in &change.targets {
            let grant = change.grant_at(target);
            if let Some(entry) = find_entry(self.state(), target, &grant).await? {
                let mut entries = entry.subscribe();
                let settled = entries
                    .wait_for(|entry| entry.is_settled(self.clock().now()))
                    .await;
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
            self.grant(state.node.account_id(), asked, None).await?;
        }
        state
            .root
            .update(|root| root.claim_token_hash = None)
            .map_err(internal)
    }
}

impl Change {
    /// What an approved request changes.
    pub fn requested(request: RequestedPermission, targets: Vec<LoadedReplica>) -> Self {
        Self {
            account: request.account,
            contract: request.contract,
            permission: request.permission,
            instance_id: request.instance_id,
            params: request.params,
            targets,
        }
    }

    /// Tells whether a request is about the same permission.
    pub fn is_of(&self, request: &RequestedPermission) -> bool {
        (&self.account, &self.contract) == (&request.account, &request.contract)
            && (&self.permission, &self.instance_id) == (&request.permission, &request.instance_id)
    }

    fn grant_at(&self, target: &LoadedReplica) -> GrantRecord {
        GrantRecord {
            replica_id: target.record.id,
            account: self.account.clone(),
            contract: self.contract.clone(),
            permission: self.permission.clone(),
            instance_id: self.instance_id.clone(),
            params: self.params.clone(),
            reasons: Vec::new(),
            revoked: None,
        }
    }
}

pub fn check_params(defined: &PermissionManifest, params: Option<Value>) -> RpcResult<Map<String, Value>> {
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
