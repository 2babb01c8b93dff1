//! A process with its storage: what it hasn't yet written is lost when it crashes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cojson::Node;
use cojson::header::Header;
use cojson::ids::{CoId, SessionId, Signature};
use cojson::limits::CHECKPOINT_BYTES;
use cojson::log::{CoValueLog, KnownState, StoredSession};
use cojson::message::{Content, Message};
use cojson::sync::{Note, Output, PeerId, Recalled};
use cojson::transaction::{Timestamp, Transaction};
use cojson::values::fingerprint;

/// What survives a crash.
#[derive(Default)]
pub struct Disk {
    values: BTreeMap<CoId, Stored>,
    unsynced: BTreeSet<CoId>,
}

struct Stored {
    header: Header,
    sessions: Vec<StoredSession>,
}

impl Disk {
    fn append(&mut self, piece: Content) {
        let stored = self.values.entry(piece.id).or_insert_with(|| Stored {
            header: piece.header.expect("the first piece of a value has its header"),
            sessions: Vec::new(),
        });
        for (session, new) in piece.new {
            let known = stored.sessions.iter().position(|known| known.session == session);
            let position = known.unwrap_or_else(|| {
                stored.sessions.push(StoredSession {
                    session: session.clone(),
                    transactions: Vec::new(),
                    signature: new.last_signature.clone(),
                    checkpoints: BTreeMap::new(),
                });
                stored.sessions.len() - 1
            });
            append_session(
                &mut stored.sessions[position],
                new.after,
                new.new_transactions,
                new.last_signature,
            );
        }
    }

    fn recall(&self) -> Recalled {
        let sessions = |stored: &Stored| {
            let begins = |session: &StoredSession| {
                fingerprint(&stored.header, &session.session, &session.transactions)
            };
            stored.sessions.iter().filter_map(begins).collect::<Vec<_>>()
        };
        Recalled {
            unsynced: self.unsynced.iter().cloned().collect(),
            deleted: Vec::new(),
            beginnings: self.values.values().flat_map(sessions).collect(),
        }
    }

    /// What is stored of each value.
    pub fn states(&self) -> Vec<KnownState> {
        let logs = self.values.keys().filter_map(|id| self.load(id));
        logs.map(|log| log.known_state()).collect()
    }

    /// Panics if some server still lacks something, as far as was noted.
    pub fn check_synced(&self, who: &str) {
        assert!(self.unsynced.is_empty(), "{who} has not sent {:?}", self.unsynced);
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Unsynced(id) => drop(self.unsynced.insert(id)),
            Note::Synced(id) => drop(self.unsynced.remove(&id)),
        }
    }

    fn erase(&mut self, id: &CoId) {
        if let Some(stored) = self.values.get_mut(id) {
            stored.sessions.retain(|stored| stored.session.is_delete());
        }
    }

    pub fn load(&self, id: &CoId) -> Option<CoValueLog> {
        let stored = self.values.get(id)?;
        Some(CoValueLog::restore(
            stored.header.clone(),
            stored.sessions.clone(),
        ))
    }

    /// Panics unless the disk has everything that `state` claims.
    pub fn check(&self, who: &str, state: &KnownState) {
        let stored = self.values.get(&state.id);
        assert!(
            !state.header || stored.is_some(),
            "{who} claims to have {}, which is not stored",
            state.id
        );
        for (session, count) in &state.sessions {
            let sessions = stored.map(|stored| &stored.sessions);
            let have = sessions.and_then(|all| all.iter().find(|known| known.session == *session));
            let have = have.map_or(0, |known| known.transactions.len() as u64);
            assert!(
                *count <= have,
                "{who} claims {count} of {session} in {}, {have} are stored",
                state.id
            );
        }
    }
}

fn append_session(session: &mut StoredSession, after: u64, new: Vec<Transaction>, signature: Signature) {
    let have = session.transactions.len() as u64;
    assert!(
        after <= have,
        "a gap in {}: {after} after {have}",
        session.session
    );
    session
        .transactions
        .extend(new.into_iter().skip((have - after) as usize));
    session.signature = signature.clone();
    let checked = session.checkpoints.keys().next_back().map_or(0, |last| last + 1);
    let unchecked: usize = session.transactions[checked..]
        .iter()
        .map(Transaction::size)
        .sum();
    if unchecked > CHECKPOINT_BYTES {
        session
            .checkpoints
            .insert(session.transactions.len() - 1, signature);
    }
}

enum Command {
    Store(Box<Content>),
    Note(Note),
    Erase(CoId),
    Send(PeerId, Message),
    Load(CoId),
}

pub struct Host {
    pub name: String,
    pub node: Node,
    pub disk: Option<Disk>,
    /// How many servers it is meant to have.
    servers: usize,
    waiting: VecDeque<Command>,
    outgoing: Vec<(PeerId, Message)>,
}

impl Host {
    pub fn new(name: String, disk: Option<Disk>, servers: usize) -> Self {
        let mut host = Self {
            name,
            node: Node::default(),
            disk,
            servers,
            waiting: VecDeque::new(),
            outgoing: Vec::new(),
        };
        host.start();
        host
    }

    fn start(&mut self) {
        self.node = Node::new(self.disk.is_some());
        if self.servers > 0 {
            self.node.note_for_servers(self.servers);
        }
        if let Some(disk) = &self.disk {
            self.node.recall(&disk.recall());
            // What servers lack is loaded, though nobody asks for it.
            for id in &disk.unsynced {
                self.node.request(id);
            }
        }
    }

    /// Ends the process; only what is stored stays.
    pub fn crash(&mut self) {
        self.waiting.clear();
        self.outgoing.clear();
        self.start();
    }

    /// Carries out what the node asks for, as far as that needs no storage, and returns what it sends.
    pub fn drain(&mut self, now: Timestamp) -> Vec<(PeerId, Message)> {
        while let Some(output) = self.node.poll_output() {
            match (output, &self.disk) {
                (Output::Store(content), Some(_)) => self.waiting.push_back(Command::Store(content)),
                (Output::Send { peer, message }, Some(_)) => {
                    self.waiting.push_back(Command::Send(peer, message))
                }
                (Output::Load(id), Some(_)) => self.waiting.push_back(Command::Load(id)),
                (Output::Send { peer, message }, None) => self.outgoing.push((peer, message)),
                (Output::Load(id), None) => self.node.handle_loaded(now, &id, None),
                (Output::Refused { reason, id, .. }, _) => panic!("{} refused {id}: {reason}", self.name),
                (Output::Disconnect { reason, .. }, _) => panic!("{} disconnects: {reason}", self.name),
                (Output::Note(note), Some(_)) => self.waiting.push_back(Command::Note(note)),
                (Output::Erase(id), Some(_)) => self.waiting.push_back(Command::Erase(id)),
                (Output::Store(_) | Output::Note(_) | Output::Erase(_), None)
                | (Output::Changed(_) | Output::Confirmed(_) | Output::Unavailable(_), _) => {}
            }
        }
        std::mem::take(&mut self.outgoing)
    }

    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets storage do so many things. Tells whether it did any.
    pub fn work(&mut self, now: Timestamp, count: usize) -> bool {
        let Some(disk) = &mut self.disk else { return false };
        let mut any = false;
        for command in self
            .waiting
            .drain(..count.min(self.waiting.len()))
            .collect::<Vec<_>>()
        {
            any = true;
            match command {
                Command::Store(content) => disk.append(*content),
                Command::Note(note) => disk.note(note),
                Command::Erase(id) => disk.erase(&id),
                Command::Load(id) => self.node.handle_loaded(now, &id, disk.load(&id)),
                Command::Send(peer, message) => {
                    match &message {
                        Message::Load(state) | Message::Known { state, .. } => disk.check(&self.name, state),
                        Message::Content(content) => disk.check(&self.name, &end_of(content)),
                        Message::Done(_) | Message::Reconcile { .. } | Message::ReconcileAck { .. } => {}
                    }
                    self.outgoing.push((peer, message));
                }
            }
        }
        any
    }
}

/// What somebody has who has taken this content.
pub fn end_of(content: &Content) -> KnownState {
    let count = |(session, new): (&SessionId, &cojson::message::NewContent)| {
        (session.clone(), new.after + new.new_transactions.len() as u64)
    };
    KnownState {
        id: content.id.clone(),
        header: true,
        sessions: content.new.iter().map(count).collect(),
    }
}
