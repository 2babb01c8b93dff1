//! Storage in memory, for tests: it survives the node that used it, and fails when told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cojson::ids::CoId;
use cojson::log::{CoValueLog, StoredSession};
use cojson::message::Content;
use parking_lot::Mutex;

use super::{Storage, StorageError};

/// Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    values: Arc<Mutex<HashMap<CoId, Vec<Content>>>>,
    fails: Arc<AtomicBool>,
}

impl MemoryStorage {
    /// Makes every operation fail, or work again.
    pub fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StorageError> {
        if self.fails.load(Ordering::SeqCst) {
            Err(StorageError::Injected)
        } else {
            Ok(())
        }
    }
}

impl Storage for MemoryStorage {
    fn append(&mut self, pieces: &[Content]) -> Result<(), StorageError> {
        self.check()?;
        let mut values = self.values.lock();
        for piece in pieces {
            values.entry(piece.id.clone()).or_default().push(piece.clone());
        }
        Ok(())
    }

    fn load(&mut self, id: &CoId) -> Result<Option<CoValueLog>, StorageError> {
        self.check()?;
        let values = self.values.lock();
        let Some(pieces) = values.get(id) else {
            return Ok(None);
        };
        let damaged = |problem: &str| StorageError::Damaged {
            id: id.clone(),
            problem: problem.to_owned(),
        };
        let header = pieces
            .iter()
            .find_map(|piece| piece.header.clone())
            .ok_or_else(|| damaged("no header"))?;
        let mut sessions: Vec<StoredSession> = Vec::new();
        for (session, new) in pieces.iter().flat_map(|piece| &piece.new) {
            match sessions.iter_mut().find(|stored| stored.session == *session) {
                Some(stored) => {
                    stored.transactions.truncate(new.after as usize);
                    stored.transactions.extend(new.new_transactions.iter().cloned());
                    stored.signature = new.last_signature.clone();
                }
                None => sessions.push(StoredSession {
                    session: session.clone(),
                    transactions: new.new_transactions.clone(),
                    signature: new.last_signature.clone(),
                    checkpoints: Default::default(),
                }),
            }
        }
        Ok(Some(CoValueLog::restore(header, sessions)))
    }
}
