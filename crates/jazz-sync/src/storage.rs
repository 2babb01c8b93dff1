//! The server's storage: SQLite, with a look at how it does, and at what it brings into memory.

use std::sync::Arc;
use std::time::Instant;

use cojson::ids::CoId;
use cojson::log::CoValueLog;
use cojson::message::Content;
use cojson::sync::{Note, Recalled};
use jazz::storage::{SqliteStorage, Storage, StorageError};

use crate::cache::Cache;
use crate::metrics::Metrics;

pub struct ServerStorage {
    sqlite: SqliteStorage,
    metrics: Arc<Metrics>,
    cache: Arc<Cache>,
}

impl ServerStorage {
    pub fn new(
        sqlite: SqliteStorage,
        metrics: Arc<Metrics>,
        cache: Arc<Cache>,
    ) -> Result<Self, StorageError> {
        metrics.storage_bytes.set(sqlite.size()?);
        Ok(Self {
            sqlite,
            metrics,
            cache,
        })
    }
}

impl Storage for ServerStorage {
    fn append(&mut self, pieces: &[Content], notes: &[Note]) -> Result<(), StorageError> {
        let start = Instant::now();
        self.sqlite.append(pieces, notes)?;
        self.metrics.storage_writes.observe(start.elapsed());
        self.metrics.storage_bytes.set(self.sqlite.size()?);
        pieces.iter().for_each(|piece| self.cache.grown(piece));
        Ok(())
    }

    fn load(&mut self, id: &CoId) -> Result<Option<CoValueLog>, StorageError> {
        let start = Instant::now();
        let log = self.sqlite.load(id)?;
        self.metrics.storage_reads.observe(start.elapsed());
        if let Some(log) = &log {
            self.cache.loaded(log);
        }
        Ok(log)
    }

    fn recall(&mut self) -> Result<Recalled, StorageError> {
        self.sqlite.recall()
    }

    fn erase(&mut self, id: &CoId) -> Result<(), StorageError> {
        self.sqlite.erase(id)
    }

    fn erase_some(&mut self) -> Result<bool, StorageError> {
        self.sqlite.erase_some()
    }
}
