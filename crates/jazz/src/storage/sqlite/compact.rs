//! Erasing the content of deleted values, and giving the space back.

use cojson::Node;
use cojson::ids::CoId;

use super::{SqliteStorage, failed};
use crate::storage::{Storage, StorageError};

/// What compacting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Deleted values whose content was still there.
    pub erased: u64,
    /// Size of the file before.
    pub bytes_before: u64,
    /// Size of the file now.
    pub bytes_after: u64,
}

impl SqliteStorage {
    /// Erases the content of values that an admin of their group deleted, and makes the file as small as it can be.
    /// It takes as much free space again as the file has, and needs the storage for itself for as long as it runs.
    pub fn compact(&mut self) -> Result<Compacted, StorageError> {
        let bytes_before = self.size()?;
        let mut erased = 0;
        for id in self.with_deletion()? {
            if self.is_deleted(&id)? {
                erased += u64::from(self.start_erasing(&id)?);
            }
        }
        while self.erase_rows()? {}
        self.connection
            .execute_batch("VACUUM")
            .map_err(failed("making the file smaller"))?;
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed("emptying the write-ahead log"))?;
        Ok(Compacted {
            erased,
            bytes_before,
            bytes_after: self.size()?,
        })
    }

    /// Values that somebody says are deleted, and that have content.
    fn with_deletion(&self) -> Result<Vec<CoId>, StorageError> {
        let ids =
            "SELECT id FROM covalues WHERE row IN (SELECT covalue FROM sessions WHERE session LIKE '%$')
            AND row IN (SELECT covalue FROM sessions WHERE session NOT LIKE '%$')";
        let ids: Vec<String> = self
            .connection
            .prepare(ids)
            .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
            .map_err(failed("looking for deleted values"))?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Tells whether somebody deleted it who may.
    fn is_deleted(&mut self, id: &CoId) -> Result<bool, StorageError> {
        let mut node = Node::new(false);
        let mut wanted = vec![id.clone()];
        while let Some(wanted_id) = wanted.pop() {
            let Some(log) = self.load(&wanted_id)? else {
                continue;
            };
            wanted.extend(log.dependencies().iter().filter(|id| !node.has(id)).cloned());
            node.values_mut().insert_log(log);
        }
        Ok(node.is_deleted(id))
    }
}
