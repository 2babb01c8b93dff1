//! Replica Control Blocks: the Jazz objects that tell a replica what it got and what it must grant.
//!
//! Two write what is *expected* of permissions, each in a place of its own: Alpha in `permissions`, a CoMap for each, and
//! the user manager in `userPermissions`, one record, because users are many. A permission is granted if either says so;
//! if both do, Alpha's params count. The replica writes what is *current* beside each, so that every value has one writer.

use jazz::{AccountId, Co, CoMap, CoRecord, Group, LoadError, Node, Ref, Timestamp, WriteError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    contract::{BoxError, Contract, Permission},
    failures::HandlerFailure,
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
    /// What the user manager says that users may do here, by the same keys; see [`UserPermissions`].
    pub user_permissions: Option<Ref<CoRecord<UserPermission>>>,
    /// What the replica has carried out of that.
    pub current_user_permissions: Option<Ref<CoRecord<UserPermission>>>,
    /// What the replica could not carry out so far, by the keys of the entries; see [`HandlerFailures`].
    ///
    /// [`HandlerFailures`]: crate::HandlerFailures
    pub handler_failures: Option<Ref<CoRecord<HandlerFailure>>>,
    /// The account of Alpha, whom the replica asks for more.
    pub alpha: Option<AccountId>,
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

/// A permission of a user at one replica, in one piece: as it should be, or as the replica has carried it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserPermission {
    /// The contract that defines the permission.
    pub identity: Identity,
    /// The permission's name in the contract.
    pub name: String,
    /// Whose permission it is.
    pub account: AccountId,
    /// Which instance, if the permission has instance keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Whether, with which params, and until when.
    #[serde(flatten)]
    pub expected: Expected,
}

/// The permissions of users in a control block: what the user manager expects, and what the replica has carried out.
#[derive(Clone, Debug)]
pub struct UserPermissions {
    /// Written by the user manager alone, by [`Grant::entry_key`].
    pub expected: Co<CoRecord<UserPermission>>,
    /// Written by the replica alone, by the same keys.
    pub current: Co<CoRecord<UserPermission>>,
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

impl UserPermission {
    /// A permission, as it should be.
    pub fn new(grant: Grant, expected: Expected) -> Self {
        let Grant {
            account,
            identity,
            name,
            instance_id,
        } = grant;
        Self {
            identity,
            name,
            account,
            instance_id,
            expected,
        }
    }

    /// Returns what names the permission.
    pub fn grant(&self) -> Grant {
        Grant {
            account: self.account.clone(),
            identity: self.identity.clone(),
            name: self.name.clone(),
            instance_id: self.instance_id.clone(),
        }
    }

    fn into_entry(self, current: Option<Current>) -> PermissionEntry {
        PermissionEntry {
            identity: self.identity,
            name: self.name,
            account: self.account,
            instance_id: self.instance_id,
            expected: self.expected,
            current,
        }
    }
}

impl UserPermissions {
    /// Opens those of a control block; an old control block gets them now. Whoever may write it may do this.
    pub async fn open(block: &Co<ControlBlock>) -> Result<Self, BoxError> {
        let (node, now) = (block.node(), block.get()?);
        if let (Some(expected), Some(current)) = (&now.user_permissions, &now.current_user_permissions) {
            let (expected, current) = tokio::try_join!(node.load(expected), node.load(current))?;
            return Ok(Self { expected, current });
        }
        let made = Self::make(node, &block.owner(), now.id).await?;
        block.update(|block| {
            block.user_permissions = Some(made.expected.reference());
            block.current_user_permissions = Some(made.current.reference());
        })?;
        Ok(made)
    }

    async fn make(node: &Node, owner: &Group, id: u32) -> Result<Self, BoxError> {
        let (expected, current) = tokio::try_join!(
            node.get_or_create_unique_record(owner, format!("rcb/{id}/user-permissions")),
            node.get_or_create_unique_record(owner, format!("rcb/{id}/user-permissions/current")),
        )?;
        Ok(Self { expected, current })
    }

    /// Returns a permission as it is now. What left the record counts as revoked.
    pub fn get(&self, key: &str) -> Result<Option<PermissionEntry>, LoadError> {
        let done = self.current.get(key)?;
        Ok(match (self.expected.get(key)?, done) {
            (Some(wish), done) => Some(wish.into_entry(done.map(Current::from))),
            (None, Some(mut done)) => {
                let current = Current::from(done.clone());
                done.expected.granted = false;
                Some(done.into_entry(Some(current)))
            }
            (None, None) => None,
        })
    }

    /// Marks what the replica has carried out.
    pub(crate) fn mark(&self, grant: Grant, current: Current) -> Result<(), WriteError> {
        let key = grant.entry_key();
        let Current { granted, params } = current;
        let done = Expected {
            granted,
            params,
            expires_at: None,
        };
        self.current.insert(key, &UserPermission::new(grant, done))
    }
}

impl From<UserPermission> for Current {
    fn from(done: UserPermission) -> Self {
        Self {
            granted: done.expected.granted,
            params: done.expected.params,
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
        let users = UserPermissions::make(node, owner, id).await?;
        let block = Self {
            id,
            name: name.to_owned(),
            requirements,
            permissions,
            user_permissions: Some(users.expected.reference()),
            current_user_permissions: Some(users.current.reference()),
            handler_failures: None,
            alpha: Some(node.account_id().clone()),
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

    /// Takes an entry out that is over and done with. One that the replica has yet to carry out stays.
    pub async fn forget(block: &Co<Self>, grant: &Grant, now: Timestamp) -> Result<(), BoxError> {
        let permissions = block.node().load(&block.get()?.permissions).await?;
        let key = grant.entry_key();
        let Some(entry) = permissions.get(&key)? else {
            return Ok(());
        };
        let entry = block.node().load(&entry).await?.get()?;
        if !entry.expected.is_granted(now) && entry.is_settled(now) {
            permissions.remove(&key)?;
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
        let found = entry.get()?;
        // `read` for the instance `all` has the key of `read:all`: what was granted as the one never becomes the other.
        if found.grant() != *grant {
            return Err(format!(
                "the key {key} is that of another permission, {} without instance keys or for another instance",
                found.name
            )
            .into());
        }
        if found.expected != expected {
            entry.update(|entry| entry.expected = expected)?;
        }
        if !linked {
            permissions.insert(&key, &entry.reference())?;
        }
        Ok(entry)
    }
}
