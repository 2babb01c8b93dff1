//! Whether servers have what was there at some moment. What comes later doesn't delay the answer.

use std::collections::{HashMap, HashSet};

use crate::ids::CoId;
use crate::values::Values;

use super::Sync;
use super::content::Have;

/// What servers had not confirmed at some moment.
#[derive(Debug)]
pub struct Unconfirmed {
    values: HashMap<CoId, Have>,
    /// Values that aren't in memory, written before the node was started.
    noted: HashSet<CoId>,
}

impl Unconfirmed {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.noted.is_empty()
    }
}

impl Sync {
    /// What servers have not confirmed; without a server, everything.
    pub fn unconfirmed(&self, values: &Values) -> Unconfirmed {
        let open: HashSet<&CoId> = if self.servers().next().is_some() {
            self.peers.values().flat_map(|peer| &peer.unconfirmed).collect()
        } else {
            values.iter().map(|log| log.id()).collect()
        };
        let logs = open.into_iter().filter_map(|id| values.get(id));
        let noted = self.unsynced().filter(|id| !values.contains(id));
        Unconfirmed {
            values: logs.map(|log| (log.id().clone(), Have::all_of(log))).collect(),
            noted: noted.cloned().collect(),
        }
    }

    /// Strikes out what every connected server has confirmed by now; tells whether that is all.
    pub fn check_confirmed(&self, unconfirmed: &mut Unconfirmed) -> bool {
        unconfirmed.values.retain(|id, want| !self.is_confirmed(id, want));
        unconfirmed.noted.retain(|id| self.is_unsynced(id));
        unconfirmed.is_empty() && self.servers().next().is_some()
    }

    /// As [`Sync::check_confirmed`], of one value.
    pub fn check_one_confirmed(&self, unconfirmed: &mut Unconfirmed, id: &CoId) -> bool {
        if unconfirmed
            .values
            .get(id)
            .is_some_and(|want| self.is_confirmed(id, want))
        {
            unconfirmed.values.remove(id);
        }
        if !self.is_unsynced(id) {
            unconfirmed.noted.remove(id);
        }
        unconfirmed.is_empty()
    }

    fn is_confirmed(&self, id: &CoId, want: &Have) -> bool {
        let mut servers = self
            .servers()
            .map(|peer| self.peers[&peer].values.get(id))
            .peekable();
        servers.peek().is_some()
            && servers.all(|value| value.is_some_and(|value| value.confirmed.includes(want)))
    }
}
