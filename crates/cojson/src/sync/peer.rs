//! What is remembered of a peer.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::ids::CoId;

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
        }
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
