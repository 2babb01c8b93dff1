//! What accounts may do at this replica: the table that checks look into, and its publication to each account.

use std::collections::BTreeMap;

use jazz::{AccountId, Co, CoId, CoRecord, Node, Ref, Role, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::Clock,
    contract::{BoxError, Permission},
    identity::Identity,
    rcb::{Grant, PermissionEntry},
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
}

struct TableEntry {
    entry: Co<PermissionEntry>,
    /// It has left the control block, which counts as revoked.
    gone: bool,
}

impl GrantTable {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            entries: RwLock::new(BTreeMap::new()),
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

    pub(crate) fn remove(&self, key: &str) {
        self.entries.write().remove(key);
    }

    /// Returns the entry and whether it has left the control block.
    pub(crate) fn get(&self, key: &str) -> Option<(Co<PermissionEntry>, bool)> {
        self.entries
            .read()
            .get(key)
            .map(|found| (found.entry.clone(), found.gone))
    }

    /// Tells whether this very value is the entry under the key.
    pub(crate) fn has(&self, key: &str, id: &CoId) -> bool {
        self.entries
            .read()
            .get(key)
            .is_some_and(|found| !found.gone && found.entry.id() == id)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.entries.read().keys().cloned().collect()
    }

    pub(crate) fn granted<P: Permission>(&self, account: &AccountId, permission: &P) -> Option<P> {
        let key = Grant::of(account, permission).ok()?.entry_key();
        let (entry, gone) = self.get(&key)?;
        let entry = entry.get().ok()?;
        let counts = !gone && entry.key() == key && entry.is_effective(self.clock.now());
        counts
            .then(|| serde_json::from_value(Value::Object(entry.expected.params)).ok())
            .flatten()
    }

    /// Returns what counts for the account now.
    fn effective(&self, account: &AccountId) -> BTreeMap<String, PublishedGrant> {
        let now = self.clock.now();
        let prefix = format!("{account}:");
        let present: Vec<_> = {
            let entries = self.entries.read();
            let of_account = entries
                .range(prefix.clone()..)
                .take_while(|(key, _)| key.starts_with(&prefix));
            of_account
                .filter(|(_, found)| !found.gone)
                .map(|(_, found)| found.entry.clone())
                .collect()
        };
        let counting = present
            .iter()
            .filter_map(|entry| entry.get().ok())
            .filter(|entry| entry.is_effective(now));
        counting
            .map(|entry| (entry.grant().grant_key(), published(entry)))
            .collect()
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
