//! Replica Control Blocks: the Jazz objects that tell a replica what it got and what it must grant.
//!
//! Alpha (and whoever else may) writes what is *expected* of a permission; the replica writes what is *current*. Each
//! permission is a CoMap of its own, so that the two never write the same value.

use jazz::{AccountId, Co, CoMap, CoRecord, Group, Node, Ref, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    contract::{BoxError, Contract, Permission},
    identity::Identity,
    permission::{entry_key, grant_key},
};

/// What one replica got and must grant.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ControlBlock {
    /// The replica's number.
    pub id: u32,
    /// The replica's name.
    pub name: String,
    /// Requirement key to the accounts of the replicas that serve it.
    pub requirements: Ref<CoRecord<Vec<AccountId>>>,
    /// Permissions that accounts have at this replica, by [`PermissionEntry::key`].
    pub permissions: Ref<CoRecord<Ref<PermissionEntry>>>,
}

/// A permission of one account at one replica: what it should be, and what the replica made of it.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct PermissionEntry {
    /// The contract that defines the permission.
    pub identity: Identity,
    /// The permission's name in the contract.
    pub name: String,
    /// Whose permission it is.
    pub account: AccountId,
    /// Which instance, if the permission has instance keys.
    pub instance_id: Option<String>,
    /// What it should be.
    pub expected: Expected,
    /// What the replica has carried out; absent if nothing yet.
    pub current: Option<Current>,
}

/// What a permission should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// Granted or revoked.
    pub granted: bool,
    /// With which params.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// From then on it counts as revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What the replica has carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// Granted or revoked.
    pub granted: bool,
    /// With which params.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// Names a permission of an account, as a control block keys it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    /// Whose permission it is.
    pub account: AccountId,
    /// The contract that defines it.
    pub identity: Identity,
    /// Its name in the contract.
    pub name: String,
    /// Which instance, if the permission has instance keys.
    pub instance_id: Option<String>,
}

impl Grant {
    /// Names this permission of the account.
    pub fn of<P: Permission>(account: &AccountId, permission: &P) -> Result<Self, serde_json::Error> {
        Ok(Self {
            account: account.clone(),
            identity: P::Contract::identity(),
            name: P::NAME.to_owned(),
            instance_id: permission.instance_id()?,
        })
    }

    /// Returns the key in a control block: `{account}:{contract}:{name}[:{instance}]`.
    pub fn entry_key(&self) -> String {
        entry_key(
            self.account.as_str(),
            &self.identity,
            &self.name,
            self.instance_id.as_deref(),
        )
    }

    /// Returns the key among the grants of the account: `{contract}:{name}[:{instance}]`.
    pub fn grant_key(&self) -> String {
        grant_key(&self.identity, &self.name, self.instance_id.as_deref())
    }
}

impl Expected {
    /// The permission is granted with these params, without an end.
    pub fn granted(params: Map<String, Value>) -> Self {
        Self {
            granted: true,
            params,
            expires_at: None,
        }
    }

    /// The permission is revoked.
    pub fn revoked(params: Map<String, Value>) -> Self {
        Self {
            granted: false,
            params,
            expires_at: None,
        }
    }

    /// Tells whether the permission should be granted at this time.
    pub fn is_granted(&self, now: Timestamp) -> bool {
        self.granted && self.expires_at.is_none_or(|end| now < end)
    }
}

impl PermissionEntry {
    /// Returns what names the permission.
    pub fn grant(&self) -> Grant {
        Grant {
            account: self.account.clone(),
            identity: self.identity.clone(),
            name: self.name.clone(),
            instance_id: self.instance_id.clone(),
        }
    }

    /// Returns the key that the entry has in its control block.
    pub fn key(&self) -> String {
        self.grant().entry_key()
    }

    /// Tells whether the permission counts: it is expected, carried out with the same params, and not over.
    pub fn is_effective(&self, now: Timestamp) -> bool {
        let carried_out = |current: &Current| current.granted && current.params == self.expected.params;
        self.expected.is_granted(now) && self.current.as_ref().is_some_and(carried_out)
    }

    /// Tells whether nothing is left to carry out.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        match (self.expected.is_granted(now), &self.current) {
            (true, Some(current)) => current.granted && current.params == self.expected.params,
            (true, None) => false,
            (false, Some(current)) => !current.granted,
            (false, None) => false,
        }
    }
}

impl ControlBlock {
    /// Returns the control block of a replica, made if there is none yet. The group, whose members are the replica (a
    /// writer) and whoever may manage control blocks, decides which: one group owns at most one block per replica.
    pub async fn open(node: &Node, owner: &Group, id: u32, name: &str) -> Result<Co<Self>, BoxError> {
        let unique = |part: &str| format!("rcb/{id}{part}");
        let requirements = node
            .get_or_create_unique_record(owner, unique("/requirements"))
            .await?
            .reference();
        let permissions = node
            .get_or_create_unique_record(owner, unique("/permissions"))
            .await?
            .reference();
        let block = Self {
            id,
            name: name.to_owned(),
            requirements,
            permissions,
        };
        Ok(node.get_or_create_unique(owner, unique(""), block).await?)
    }

    /// Names the accounts that serve a requirement.
    pub async fn set_requirement(
        block: &Co<Self>,
        key: &str,
        accounts: &Vec<AccountId>,
    ) -> Result<(), BoxError> {
        let requirements = block.node().load(&block.get()?.requirements).await?;
        if requirements.get(key)?.as_ref() != Some(accounts) {
            requirements.insert(key, accounts)?;
        }
        Ok(())
    }

    /// Says what a permission should be; the replica carries it out in its own time. Returns the entry, which tells
    /// when that has happened ([`PermissionEntry::is_settled`]).
    pub async fn expect(
        block: &Co<Self>,
        grant: &Grant,
        expected: Expected,
    ) -> Result<Co<PermissionEntry>, BoxError> {
        let (node, key) = (block.node(), grant.entry_key());
        let permissions = node.load(&block.get()?.permissions).await?;
        // Two writers who grant the same thing at once make the same entry, not two.
        let (entry, linked) = match permissions.get(&key)? {
            Some(entry) => (node.load(&entry).await?, true),
            None => {
                let Grant {
                    account,
                    identity,
                    name,
                    instance_id,
                } = grant.clone();
                let expected = expected.clone();
                let new = PermissionEntry {
                    identity,
                    name,
                    account,
                    instance_id,
                    expected,
                    current: None,
                };
                (
                    node.get_or_create_unique(&block.owner(), key.as_str(), new)
                        .await?,
                    false,
                )
            }
        };
        if entry.get()?.expected != expected {
            entry.update(|entry| entry.expected = expected)?;
        }
        if !linked {
            permissions.insert(&key, &entry.reference())?;
        }
        Ok(entry)
    }
}
