//! What storage keeps besides content, so that it is still known after a restart: above all which values servers lack
//! something of.

use crate::ids::CoId;
use crate::log::CoValueLog;
use crate::values::Fingerprint;

use super::{Output, Sync};

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Some server lacks something of the value.
    Unsynced(CoId),
    /// No server lacks anything of the value any more. There is no hurry to note this.
    Synced(CoId),
}

/// What storage knows before the node is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Values of which some server lacks something. They have to be loaded to be sent.
    pub unsynced: Vec<CoId>,
    /// Values of which somebody said that they are deleted, and that weren't erased.
    pub deleted: Vec<CoId>,
    /// How stored sessions begin, by [`fingerprint`](crate::values::fingerprint).
    pub beginnings: Vec<Fingerprint>,
}

impl Sync {
    /// Has storage note from now on what servers lack, of which there are meant to be so many.
    pub fn note_for_servers(&mut self, expected: usize) {
        self.servers_expected = Some(expected);
    }

    /// What storage has noted as unsynced.
    pub fn recall(&mut self, unsynced: impl IntoIterator<Item = CoId>) {
        self.unsynced.extend(unsynced);
    }

    /// A value is about to be stored.
    pub(super) fn note_unsynced(&mut self, log: &CoValueLog) {
        if self.servers_expected.is_some() && !self.is_synced(log) && self.unsynced.insert(log.id().clone()) {
            self.out.push_back(Output::Note(Note::Unsynced(log.id().clone())));
        }
    }

    /// A server has told what it has of a value.
    pub(super) fn note_synced(&mut self, log: &CoValueLog) {
        if self.unsynced.contains(log.id()) && self.is_synced(log) {
            self.unsynced.remove(log.id());
            self.out.push_back(Output::Note(Note::Synced(log.id().clone())));
        }
    }

    /// Storage has nothing of a value.
    pub(super) fn note_absent(&mut self, id: &CoId) {
        if self.unsynced.remove(id) {
            self.out.push_back(Output::Note(Note::Synced(id.clone())));
        }
    }

    /// Whether every server there is meant to be has all of a value.
    fn is_synced(&self, log: &CoValueLog) -> bool {
        let has_all = |peer| {
            let value = self.peers[&peer].values.get(log.id());
            value.is_some_and(|value| value.confirmed.covers(log))
        };
        self.servers.len() >= self.servers_expected.unwrap_or_default().max(1) && self.servers().all(has_all)
    }

    /// Whether storage has noted that some server lacks something of a value.
    pub(super) fn is_unsynced(&self, id: &CoId) -> bool {
        self.unsynced.contains(id)
    }

    /// Values that are noted as unsynced and that aren't in memory.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = &CoId> {
        self.unsynced.iter()
    }
}
