//! Storage in memory, for tests: it survives the node that used it, and fails when told to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cojson::ids::{CoId, SessionId};
use cojson::log::{CoValueLog, StoredSession};
use cojson::message::Content;
use cojson::sync::{Note, Recalled};
use cojson::values::fingerprint;
use parking_lot::Mutex;

use super::{Storage, StorageError};

/// Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    values: Arc<Mutex<HashMap<CoId, Vec<Content>>>>,
    noted: Arc<Mutex<Noted>>,
    fails: Arc<AtomicBool>,
}

#[derive(Default)]
struct Noted {
    unsynced: HashSet<CoId>,
    deleted: HashSet<CoId>,
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
    fn append(&mut self, pieces: &[Content], notes: &[Note]) -> Result<(), StorageError> {
        self.check()?;
        let (mut values, mut noted) = (self.values.lock(), self.noted.lock());
        for note in notes {
            match note {
                Note::Unsynced(id) => drop(noted.unsynced.insert(id.clone())),
                Note::Synced(id) => drop(noted.unsynced.remove(id)),
            }
        }
        for piece in pieces {
            if piece.new.keys().any(SessionId::is_delete) {
                noted.deleted.insert(piece.id.clone());
            }
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

    fn recall(&mut self) -> Result<Recalled, StorageError> {
        let ids: Vec<CoId> = self.values.lock().keys().cloned().collect();
        let mut beginnings = Vec::new();
        for log in ids.iter().filter_map(|id| self.load(id).transpose()) {
            let log = log?;
            let sessions = log.sessions().iter();
            beginnings.extend(
                sessions.filter_map(|(session, content)| {
                    fingerprint(log.header(), session, content.transactions())
                }),
            );
        }
        let noted = self.noted.lock();
        Ok(Recalled {
            unsynced: noted.unsynced.iter().cloned().collect(),
            deleted: noted.deleted.iter().cloned().collect(),
            beginnings,
        })
    }

    fn erase(&mut self, id: &CoId) -> Result<(), StorageError> {
        self.check()?;
        for piece in self.values.lock().get_mut(id).into_iter().flatten() {
            piece.new.retain(|session, _| session.is_delete());
        }
        self.noted.lock().deleted.remove(id);
        Ok(())
    }

    fn erase_some(&mut self) -> Result<bool, StorageError> {
        Ok(false)
    }
}
