//! Whether servers have what was there at some moment. What comes later doesn't delay the answer.

use std::collections::{HashMap, HashSet};

use crate::ids::CoId;
use crate::values::Values;

use super::Sync;
use super::content::Have;

/// What servers had not confirmed at some moment.
#[derive(Debug)]
pub struct Unconfirmed(HashMap<CoId, Have>);

impl Sync {
    /// What servers have not confirmed; without a server, everything.
    pub fn unconfirmed(&self, values: &Values) -> Unconfirmed {
        let open: HashSet<&CoId> = if self.servers().next().is_some() {
            self.peers.values().flat_map(|peer| &peer.unconfirmed).collect()
        } else {
            values.iter().map(|log| log.id()).collect()
        };
        let logs = open.into_iter().filter_map(|id| values.get(id));
        Unconfirmed(logs.map(|log| (log.id().clone(), Have::all_of(log))).collect())
    }

    /// Strikes out what every connected server has confirmed by now; tells whether that is all.
    pub fn check_confirmed(&self, unconfirmed: &mut Unconfirmed) -> bool {
        let servers: Vec<_> = self.servers().map(|peer| &self.peers[&peer]).collect();
        if servers.is_empty() {
            return false;
        }
        unconfirmed.0.retain(|id, want| {
            let has = |peer: &&super::Peer| {
                let value = peer.values.get(id);
                value.is_some_and(|value| value.confirmed.includes(want))
            };
            !servers.iter().all(has)
        });
        unconfirmed.0.is_empty()
    }

    /// Changes whenever [`Sync::check_confirmed`] may have another answer.
    pub fn confirmations(&self) -> u64 {
        self.confirmations
    }
}
