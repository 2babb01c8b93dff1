//! What is remembered of a peer.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::ids::CoId;
use crate::limits::{MAX_RECONCILE_BATCHES, MAX_REMEMBERED_SESSIONS, MAX_SUBSCRIPTIONS};

use super::content::Have;

/// Names a connection. A new connection is a new peer: nothing is remembered across.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What a peer is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// Gets what it asked for, dependencies first.
    Client,
    /// Gets everything we write and is asked for what we lack.
    Server,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub role: PeerRole,
    /// Values it is told about: it asked for them, sent them, or was asked for them.
    pub values: HashMap<CoId, PeerValue>,
    /// Values of which it has not confirmed everything we have. Only kept for servers.
    pub unconfirmed: HashSet<CoId>,
    /// Reconciliation batches, each with the values that aren't settled yet.
    pub reconciling: Vec<(String, BTreeSet<CoId>)>,
    /// Messages of this peer that wait for something.
    pub parked: usize,
    /// Their size.
    pub parked_bytes: usize,
    /// Sessions it has told counts of, over all values.
    pub remembered_sessions: usize,
    /// What came when too many waited already.
    pub postponed: Postponed,
}

/// Values of which a message was dropped for want of room.
#[derive(Debug, Default)]
pub(super) struct Postponed {
    /// It asked for these.
    pub serve: BTreeSet<CoId>,
    /// It sent content of these, and is asked to send it again.
    pub receive: BTreeSet<CoId>,
}

impl Postponed {
    pub fn len(&self) -> usize {
        self.serve.len() + self.receive.len()
    }
}

/// What a peer has of a value.
#[derive(Debug, Default)]
pub(super) struct PeerValue {
    /// By its own words.
    pub confirmed: Have,
    /// If everything arrives that was sent.
    pub sent: Have,
    /// It knows what we have.
    pub told: bool,
    /// We asked and it hasn't told yet what it has, so `sent` is a guess.
    pub asked: bool,
    /// It sent something that doesn't verify: nothing more is taken from it about this value.
    pub refused: bool,
    /// The fingerprint of the dependencies that were sent with the value.
    pub dependencies: Option<u64>,
}

impl Peer {
    pub fn new(role: PeerRole) -> Self {
        Self {
            role,
            values: HashMap::new(),
            unconfirmed: HashSet::new(),
            reconciling: Vec::new(),
            parked: 0,
            postponed: Postponed::default(),
            parked_bytes: 0,
            remembered_sessions: 0,
        }
    }

    /// Of how many sessions of a value it has told the count.
    pub fn remembered_sessions_of(&self, id: &CoId) -> usize {
        self.values
            .get(id)
            .map_or(0, |value| value.confirmed.sessions.len())
    }

    /// Whether a message of this size can wait: less than `messages` do, of `bytes` in all.
    pub fn has_room(&self, size: usize, messages: usize, bytes: usize) -> bool {
        self.parked < messages && (self.parked_bytes == 0 || self.parked_bytes + size < bytes)
    }

    /// What this peer makes us hold more of than one may.
    pub fn excess(&self) -> Option<&'static str> {
        let bounds = [
            (
                self.values.len() > MAX_SUBSCRIPTIONS,
                "too many values on one connection",
            ),
            (
                self.remembered_sessions > MAX_REMEMBERED_SESSIONS,
                "too many sessions on one connection",
            ),
            (
                self.reconciling.len() > MAX_RECONCILE_BATCHES,
                "too many reconciliations at once",
            ),
        ];
        bounds
            .into_iter()
            .find_map(|(is_over, what)| is_over.then_some(what))
    }

    /// Notes that the value is settled between us; returns the batches that are settled with it.
    pub fn settle(&mut self, id: &CoId) -> Vec<String> {
        let mut settled = Vec::new();
        self.reconciling.retain_mut(|(batch, open)| {
            open.remove(id);
            if open.is_empty() {
                settled.push(std::mem::take(batch));
            }
            !open.is_empty()
        });
        settled
    }
}
