//! What accounts may do at this replica: the table that checks look into, and its publication to each account.

use std::collections::{BTreeMap, BTreeSet};

use jazz::{AccountId, Co, CoId, CoRecord, LoadError, Node, Ref, Role, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::warn;

use crate::{
    clock::Clock,
    contract::{BoxError, Permission},
    identity::Identity,
    rcb::{Grant, PermissionEntry, UserPermission, UserPermissions},
};

/// What one account was granted at one replica, by [`Grant::grant_key`]; readable by that account alone.
pub type PublishedGrants = CoRecord<PublishedGrant>;

/// A permission as the account that has it sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedGrant {
    /// The contract that defines the permission.
    pub identity: Identity,
    /// Its name in the contract.
    pub name: String,
    /// Which instance, if the permission has instance keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its params.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The entries of the control block, as checks see them. Values are read at each check, so that nothing is older than
/// what this node knows.
pub(crate) struct GrantTable {
    pub(crate) clock: Clock,
    entries: RwLock<BTreeMap<String, TableEntry>>,
    pub(crate) users: UserPermissions,
    /// What was seen of `users`, to tell what has changed.
    seen: RwLock<BTreeMap<String, UserPermission>>,
}

/// Who says that a permission should be granted or not, and what.
#[derive(Debug)]
pub(crate) struct Source {
    /// An entry of Alpha's; otherwise it comes from the user manager.
    pub(crate) of_alpha: Option<Co<PermissionEntry>>,
    pub(crate) entry: PermissionEntry,
    /// It has left the control block, which counts as revoked.
    pub(crate) gone: bool,
}

struct TableEntry {
    entry: Co<PermissionEntry>,
    /// It has left the control block, which counts as revoked.
    gone: bool,
}

impl GrantTable {
    pub(crate) fn new(clock: Clock, users: UserPermissions) -> Self {
        Self {
            clock,
            entries: RwLock::default(),
            users,
            seen: RwLock::default(),
        }
    }

    pub(crate) fn insert(&self, key: String, entry: Co<PermissionEntry>) {
        self.entries
            .write()
            .insert(key, TableEntry { entry, gone: false });
    }

    pub(crate) fn mark_gone(&self, key: &str) {
        if let Some(entry) = self.entries.write().get_mut(key) {
            entry.gone = true;
        }
    }

    /// Forgets an entry that is gone. One that has come back meanwhile stays.
    pub(crate) fn remove_gone(&self, key: &str) {
        let mut entries = self.entries.write();
        if entries.get(key).is_some_and(|entry| entry.gone) {
            entries.remove(key);
        }
    }

    /// Returns who says something about a permission; Alpha, if it does, comes first.
    pub(crate) fn sources(&self, key: &str) -> Result<Vec<Source>, LoadError> {
        let of_alpha = self
            .entries
            .read()
            .get(key)
            .map(|found| (found.entry.clone(), found.gone));
        let mut sources = Vec::with_capacity(2);
        if let Some((co, gone)) = of_alpha {
            let entry = co.get()?;
            let of_alpha = Some(co);
            sources.push(Source {
                of_alpha,
                entry,
                gone,
            });
        }
        let of_users = self.users.get(key)?;
        sources.extend(of_users.map(|entry| Source {
            of_alpha: None,
            entry,
            gone: false,
        }));
        Ok(sources)
    }

    /// Looks at what is expected of users by now; returns the keys of what has changed since the last look. What can't be
    /// read counts as revoked.
    pub(crate) fn look_at_users(&self) -> Result<Vec<String>, LoadError> {
        let mut present = BTreeMap::new();
        for (key, permission) in self.users.expected.try_entries()? {
            match permission {
                Ok(permission) => drop(present.insert(key, permission)),
                Err(error) => warn!(key, %error, "a permission of a user can't be read"),
            }
        }
        let mut seen = self.seen.write();
        let gone = seen.keys().filter(|key| !present.contains_key(*key));
        let new = present
            .iter()
            .filter(|(key, permission)| seen.get(*key) != Some(permission));
        let changed = gone.chain(new.map(|(key, _)| key)).cloned().collect();
        *seen = present;
        Ok(changed)
    }

    /// Tells whether this very value is the entry under the key.
    pub(crate) fn has(&self, key: &str, id: &CoId) -> bool {
        self.entries
            .read()
            .get(key)
            .is_some_and(|found| !found.gone && found.entry.id() == id)
    }

    /// Returns the keys of Alpha's entries.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.entries.read().keys().cloned().collect()
    }

    /// Returns the keys of all permissions that anybody ever said something about.
    pub(crate) fn all_keys(&self) -> Result<BTreeSet<String>, LoadError> {
        let mut keys: BTreeSet<String> = self.users.current.keys()?.into_iter().collect();
        keys.extend(self.keys());
        keys.extend(self.seen.read().keys().cloned());
        Ok(keys)
    }

    pub(crate) fn granted<P: Permission>(&self, account: &AccountId, permission: &P) -> Option<P> {
        let grant = Grant::of(account, permission).ok()?;
        let (key, now) = (grant.entry_key(), self.clock.now());
        let sources = self.sources(&key).ok()?.into_iter();
        // Two permissions can have the same key; what is meant must be what was granted.
        let mut counting = sources.filter(|source| source.entry.grant() == grant && source.is_effective(now));
        counting.find_map(|source| serde_json::from_value(Value::Object(source.entry.expected.params)).ok())
    }

    /// Returns what counts for the account now.
    fn effective(&self, account: &AccountId) -> BTreeMap<String, PublishedGrant> {
        let now = self.clock.now();
        let prefix = format!("{account}:");
        let of_account = |key: &&String| key.starts_with(&prefix);
        let from = prefix.clone()..;
        let mut keys: BTreeSet<String> = BTreeSet::new();
        keys.extend(
            self.entries
                .read()
                .range(from.clone())
                .map(|(key, _)| key)
                .take_while(of_account)
                .cloned(),
        );
        keys.extend(
            self.seen
                .read()
                .range(from)
                .map(|(key, _)| key)
                .take_while(of_account)
                .cloned(),
        );
        keys.into_iter()
            .filter_map(|key| {
                let sources = self.sources(&key).ok()?;
                let source = sources
                    .into_iter()
                    .find(|source| source.entry.key() == key && source.is_effective(now))?;
                Some((source.entry.grant().grant_key(), published(source.entry)))
            })
            .collect()
    }
}

impl Source {
    /// Tells whether it makes the permission count.
    fn is_effective(&self, now: Timestamp) -> bool {
        !self.gone && self.entry.is_effective(now)
    }

    /// Tells whether it wants the permission to be granted.
    pub(crate) fn is_granted(&self, now: Timestamp) -> bool {
        !self.gone && self.entry.expected.is_granted(now)
    }
}

fn published(entry: PermissionEntry) -> PublishedGrant {
    PublishedGrant {
        identity: entry.identity,
        name: entry.name,
        instance_id: entry.instance_id,
        params: entry.expected.params,
        expires_at: entry.expected.expires_at,
    }
}

/// Brings what is published to the account in line with what counts for it.
pub(crate) async fn publish(
    node: &Node,
    index: &Co<CoRecord<Ref<PublishedGrants>>>,
    table: &GrantTable,
    account: &AccountId,
) -> Result<(), BoxError> {
    let record = match index.get(account.as_str())? {
        Some(record) => node.load(&record).await?,
        None if table.effective(account).is_empty() => return Ok(()),
        None => {
            let group = node.create_group()?;
            group.add_member(account, Role::Reader).await?;
            let record = node.create_record(&group, std::iter::empty::<(String, PublishedGrant)>())?;
            index.insert(account.as_str(), &record.reference())?;
            record
        }
    };
    let wanted = table.effective(account);
    let present = record.entries()?;
    node.transaction(|tx| {
        for (key, _) in present.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
            tx.remove(&record, key)?;
        }
        for (key, grant) in wanted
            .iter()
            .filter(|(key, grant)| present.get(*key) != Some(*grant))
        {
            tx.insert(&record, key, grant)?;
        }
        Ok(())
    })?;
    Ok(())
}
