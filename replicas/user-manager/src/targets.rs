//! The control blocks of the replicas, as far as they speak of users: what is written there, and by nobody else.

use std::collections::BTreeMap;

use alpha_v1::{ReplicaId, ReplicaRecord};
use jazz::{LoadError, WriteError};
use reside::prelude::*;
use reside::rcb::{UserPermission, UserPermissions};
use user_manager_v1::GrantedPermission;

use crate::wishes::{Wishes, differences, wishes};

/// Entries that are written as one transaction; all of them could be more than one may hold.
const ENTRIES_MAX: usize = 200;

/// A replica that is loaded, and what its control block says of users.
pub struct Target {
    /// Its number.
    pub id: ReplicaId,
    /// The contracts that it implements.
    pub contracts: Vec<Identity>,
    /// The records of its control block.
    pub users: UserPermissions,
    /// What was written there; nobody else writes it.
    written: BTreeMap<String, UserPermission>,
}

impl Target {
    /// Opens the control block of a replica.
    pub async fn open(node: &Node, record: &ReplicaRecord) -> Result<Self, BoxError> {
        let block = node.load(&record.rcb).await?;
        let users = UserPermissions::open(&block).await?;
        Ok(Self {
            id: record.id,
            contracts: record.implementations.clone(),
            written: users.expected.entries()?,
            users,
        })
    }

    /// Returns what has to change for one user.
    pub fn changes_for(&self, account: &AccountId, granted: &[GrantedPermission]) -> Wishes {
        let prefix = format!("{account}:");
        let present = self.written.range(prefix.clone()..);
        let present = present.take_while(|(key, _)| key.starts_with(&prefix));
        differences(present, wishes(account, granted, self.id, &self.contracts))
    }

    /// Writes changes.
    pub fn write(&mut self, changes: Wishes) -> Result<(), WriteError> {
        let changes: Vec<_> = changes.into_iter().collect();
        for chunk in changes.chunks(ENTRIES_MAX) {
            self.users.expected.node().transaction(|tx| {
                chunk
                    .iter()
                    .try_for_each(|(key, permission)| tx.insert(&self.users.expected, key, permission))
            })?;
            self.written.extend(chunk.iter().cloned());
        }
        Ok(())
    }
}

/// A change that was written, to see whether the replica has carried it out.
pub struct Written {
    users: UserPermissions,
    changes: Wishes,
}

impl Written {
    /// Remembers what was written to a replica.
    pub fn new(target: &Target, changes: Wishes) -> Self {
        Self {
            users: target.users.clone(),
            changes,
        }
    }

    /// Waits until the replica has carried everything out.
    pub async fn applied(&self) -> Result<(), LoadError> {
        let is_applied = |current: &BTreeMap<String, UserPermission>| {
            self.changes.iter().all(|(key, wish)| {
                current.get(key).is_some_and(|done| {
                    let (done, wish) = (&done.expected, &wish.expected);
                    done.granted == wish.granted && (!done.granted || done.params == wish.params)
                })
            })
        };
        match self.users.current.subscribe().wait_for(is_applied).await {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
