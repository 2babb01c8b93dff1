//! The sync protocol as a state machine (protocol, 9): messages, answers of storage and local changes go in, messages,
//! writes and events come out. The same code is the client and the server.
//!
//! Order is a promise: what is in an [`Output::Store`] must be durable before a later [`Output::Send`] leaves, because
//! acknowledgements come last. Two idle peers with nothing to tell each other fall silent.

mod confirm;
mod content;
mod lookup;
mod notes;
mod peer;
mod receive;
mod serve;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use indexmap::{IndexMap, IndexSet};

use crate::ids::{CoId, SessionId};
use crate::log::{CoValueLog, KnownState};
use crate::message::{Content, Message};
use crate::transaction::Timestamp;
use crate::values::Values;

pub use confirm::Unconfirmed;
use content::Have;
pub(crate) use content::whole;
use lookup::{Job, Lookup};
pub use notes::{Note, Recalled};
use peer::{Peer, PeerValue};
pub use peer::{PeerId, PeerRole};
use serve::Dependencies;
pub(crate) use serve::collect_dependencies;

/// What the outside has to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Append this to storage; headers of new values are in it.
    Store(Box<Content>),
    /// Have storage note this, no later than what is stored after it.
    Note(Note),
    /// Erase what storage has of a deleted value, but for its header and its deletion.
    Erase(CoId),
    /// Send this, once everything stored before is durable.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// Look in storage and answer with [`Sync::loaded`].
    Load(CoId),
    /// The value has new content.
    Changed(CoId),
    /// A server has told what it has of the value.
    Confirmed(CoId),
    /// Nobody has the value that was asked for locally. It may turn up later.
    Unavailable(CoId),
    /// Something a peer sent was refused; for the log.
    Refused {
        /// Who sent it.
        peer: PeerId,
        /// The value.
        id: CoId,
        /// Why.
        reason: String,
    },
    /// The peer makes us hold more than one may: nothing more is taken from it, and the connection is to be closed.
    Disconnect {
        /// Which one.
        peer: PeerId,
        /// Of what there is too much.
        reason: &'static str,
    },
}

/// The state of synchronisation with storage and all peers.
#[derive(Debug, Default)]
pub struct Sync {
    has_storage: bool,
    /// What storage has of the values in memory.
    stored: HashMap<CoId, Have>,
    /// How many servers the node is meant to have, if storage notes what they lack.
    servers_expected: Option<usize>,
    /// Values that storage has noted as unsynced.
    unsynced: HashSet<CoId>,
    peers: BTreeMap<PeerId, Peer>,
    /// Those of them that are servers: few, where clients may be thousands.
    servers: BTreeSet<PeerId>,
    lookups: IndexMap<CoId, Lookup>,
    /// Asked for locally and not found yet.
    wanted: IndexSet<CoId>,
    /// Values a server sends in pieces, with the counts to expect.
    incomplete: HashMap<CoId, BTreeMap<SessionId, u64>>,
    /// Peers that have sent more than there was room for.
    postponing: BTreeSet<PeerId>,
    /// Values that changed since the last flush.
    dirty: IndexSet<CoId>,
    /// Acknowledgements that wait for the flush; `true`: a correction.
    acknowledgements: BTreeMap<(PeerId, CoId), bool>,
    /// The time of the latest input.
    now: Timestamp,
    out: VecDeque<Output>,
}

impl Sync {
    /// A node with storage is asked to [load](Output::Load) what isn't in memory.
    pub fn new(has_storage: bool) -> Self {
        Self {
            has_storage,
            ..Self::default()
        }
    }

    /// A peer is there. A server is told what we have, so that both sides catch up.
    pub fn connected(&mut self, values: &Values, id: PeerId, role: PeerRole) {
        self.peers.insert(id, Peer::new(role));
        if role == PeerRole::Server {
            self.servers.insert(id);
            let mut seen = BTreeSet::new();
            let mut order = Vec::new();
            for log in values.iter() {
                serve::collect_dependencies(values, log.id(), &mut seen, &mut order);
                if seen.insert(log.id().clone()) {
                    order.push(log.id().clone());
                }
            }
            for value in order {
                self.introduce(values, id, &value);
            }
            self.ask_again(id);
        }
    }

    /// A peer is gone, and with it everything it waited for.
    pub fn disconnected(&mut self, id: PeerId) {
        self.peers.remove(&id);
        self.servers.remove(&id);
        self.acknowledgements.retain(|(peer, _), _| *peer != id);
        self.drop_jobs_of(id);
    }

    /// Somebody here wants the value: it is looked up, and servers are subscribed to.
    pub fn request(&mut self, values: &mut Values, id: &CoId) {
        if values.contains(id) {
            let servers: Vec<PeerId> = self.servers().collect();
            for peer in servers {
                if !self.peers[&peer].values.contains_key(id) {
                    self.introduce(values, peer, id);
                }
            }
            return;
        }
        self.wanted.insert(id.clone());
        self.find(values, id, None);
    }

    /// The answer to an [`Output::Load`].
    pub fn loaded(&mut self, values: &mut Values, now: Timestamp, id: &CoId, log: Option<CoValueLog>) {
        self.now = now;
        match log {
            Some(log) => {
                self.stored.insert(id.clone(), Have::all_of(&log));
                values.insert_log(log);
                self.out.push_back(Output::Changed(id.clone()));
                self.found(values, id);
                let servers: Vec<PeerId> = self.servers().collect();
                for peer in servers {
                    if !self.peers[&peer].values.contains_key(id) {
                        self.introduce(values, peer, id);
                    }
                }
            }
            None => {
                if !values.contains(id) {
                    self.note_absent(id);
                }
                self.not_in_storage(values, id);
            }
        }
        self.resume(values);
    }

    /// The value came by other means than a peer.
    pub(crate) fn imported(&mut self, values: &mut Values, id: &CoId) {
        self.dirty.insert(id.clone());
        self.out.push_back(Output::Changed(id.clone()));
        self.found(values, id);
    }

    /// The value was written to here. It is stored and sent by the next [`Sync::flush`].
    pub fn changed(&mut self, id: &CoId) {
        self.dirty.insert(id.clone());
    }

    /// Stores and sends what changed, and acknowledges what was received.
    pub fn flush(&mut self, values: &Values) {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            self.store(values, id);
        }
        for ((peer, id), is_correction) in std::mem::take(&mut self.acknowledgements) {
            self.send_known(values, peer, &id, is_correction);
        }
        if dirty.is_empty() {
            // As nearly always; a server has thousands of peers.
            return;
        }
        let peers: Vec<(PeerId, PeerRole)> = self.peers.iter().map(|(id, peer)| (*id, peer.role)).collect();
        for log in dirty.iter().filter_map(|id| values.get(id)) {
            let mut dependencies = Dependencies::of(log.id());
            for (peer, role) in &peers {
                self.push(values, *peer, *role, log, &mut dependencies);
            }
        }
    }

    /// Stores what storage lacks of a value.
    fn store(&mut self, values: &Values, id: &CoId) {
        let Some(log) = values.get(id).filter(|_| self.has_storage) else {
            return;
        };
        let stored = self.stored.entry(id.clone()).or_default();
        if stored.covers(log) {
            return;
        }
        let pieces = content::missing(log, stored);
        *stored = Have::all_of(log);
        self.note_unsynced(log);
        for piece in pieces {
            self.out.push_back(Output::Store(Box::new(piece)));
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Whether a server is still sending pieces of the value.
    pub fn is_incomplete(&self, id: &CoId) -> bool {
        self.incomplete.contains_key(id)
    }

    /// Forgets what storage has of a value that leaves memory. Not allowed for what is being looked at:
    /// see [`Sync::is_busy`].
    pub fn forget(&mut self, id: &CoId) {
        self.stored.remove(id);
    }

    /// Whether the value must stay in memory: it has unsaved changes, a server hasn't confirmed it, or somebody waits for
    /// it.
    pub fn is_busy(&self, id: &CoId) -> bool {
        self.dirty.contains(id)
            || self.unsynced.contains(id)
            || self.lookups.contains_key(id)
            || self.incomplete.contains_key(id)
            || self.peers.values().any(|peer| peer.unconfirmed.contains(id))
    }

    pub(crate) fn has_storage(&self) -> bool {
        self.has_storage
    }

    fn servers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.servers.iter().copied()
    }

    /// Has the next flush acknowledge what a peer sent. What is a correction stays one, whatever comes after it.
    fn acknowledge(&mut self, peer: PeerId, id: &CoId, is_correction: bool) {
        *self.acknowledgements.entry((peer, id.clone())).or_default() |= is_correction;
    }

    fn send(&mut self, peer: PeerId, message: Message) {
        self.out.push_back(Output::Send { peer, message });
    }

    /// Tells a server what we have of a value, and so subscribes to it.
    fn introduce(&mut self, values: &Values, peer: PeerId, id: &CoId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let state = match values.get(id) {
            Some(log) => {
                entry.unconfirmed.insert(id.clone());
                log.known_state()
            }
            None => KnownState::empty(id.clone()),
        };
        let sent = Have {
            header: state.header,
            sessions: state.sessions.clone(),
        };
        let value = PeerValue {
            sent,
            told: true,
            asked: true,
            ..PeerValue::default()
        };
        entry.values.insert(id.clone(), value);
        self.send(peer, Message::Load(state));
    }

    fn send_known(&mut self, values: &Values, peer: PeerId, id: &CoId, is_correction: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let mut state = values
            .get(id)
            .map_or_else(|| KnownState::empty(id.clone()), CoValueLog::known_state);
        if let Some(value) = entry.values.get_mut(id) {
            value.told = true;
            if values.get(id).is_some_and(CoValueLog::is_deleted) {
                // Otherwise the peer would send for ever what we don't keep.
                let mut told = value.confirmed.clone();
                told.merge(true, &state.sessions);
                state.sessions = told.sessions;
            }
        }
        self.send(peer, Message::Known { state, is_correction });
    }
}

/// A message that waits for a value is handled again when the value is there.
impl Sync {
    fn run(&mut self, values: &mut Values, job: Job) {
        match job {
            Job::Serve { peer, id, without } => self.serve(values, peer, &id, without),
            Job::Receive {
                peer,
                content,
                without,
            } => self.receive(values, peer, content, without),
            Job::Compare { peer, id, hash } => self.compare(values, peer, id, hash),
        }
    }

    /// Handles a message.
    pub fn handle(&mut self, values: &mut Values, now: Timestamp, peer: PeerId, message: Message) {
        self.now = now;
        let Some(entry) = self.peers.get(&peer) else {
            return;
        };
        let id = message.id().cloned();
        let remembered = |entry: &Peer| id.as_ref().map_or(0, |id| entry.remembered_sessions_of(id));
        let before = remembered(entry);
        match message {
            Message::Load(state) => self.on_load(values, peer, state),
            Message::Known { state, is_correction } => self.on_known(values, peer, state, is_correction),
            Message::Content(content) => self.receive(values, peer, content, BTreeSet::new()),
            Message::Reconcile { batch, values: asked } => self.on_reconcile(values, peer, batch, asked),
            Message::Done(_) | Message::ReconcileAck { .. } => {}
        }
        self.resume(values);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.remembered_sessions = (entry.remembered_sessions + remembered(entry)).saturating_sub(before);
        if let Some(reason) = entry.excess() {
            self.disconnected(peer);
            self.out.push_back(Output::Disconnect { peer, reason });
        }
    }

    /// A message about `id` could not be understood: it is answered, and nothing more is taken from this peer about it.
    pub fn handle_malformed(&mut self, values: &Values, peer: PeerId, id: &CoId, reason: String) {
        self.refuse(peer, id, reason);
        self.send_known(values, peer, id, false);
    }

    fn refuse(&mut self, peer: PeerId, id: &CoId, reason: String) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.values.entry(id.clone()).or_default().refused = true;
        }
        self.out.push_back(Output::Refused {
            peer,
            id: id.clone(),
            reason,
        });
    }
}
