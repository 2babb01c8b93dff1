//! A process with its storage: what it hasn't yet written is lost when it crashes.

use std::collections::{BTreeMap, VecDeque};

use cojson::Node;
use cojson::header::Header;
use cojson::ids::{CoId, SessionId, Signature};
use cojson::limits::CHECKPOINT_BYTES;
use cojson::log::{CoValueLog, KnownState, StoredSession};
use cojson::message::{Content, Message};
use cojson::sync::{Output, PeerId};
use cojson::transaction::{Timestamp, Transaction};

/// What survives a crash.
#[derive(Default)]
pub struct Disk(BTreeMap<CoId, Stored>);

struct Stored {
    header: Header,
    sessions: Vec<StoredSession>,
}

impl Disk {
    fn append(&mut self, piece: Content) {
        let stored = self.0.entry(piece.id).or_insert_with(|| Stored {
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

    pub fn load(&self, id: &CoId) -> Option<CoValueLog> {
        let stored = self.0.get(id)?;
        Some(CoValueLog::restore(
            stored.header.clone(),
            stored.sessions.clone(),
        ))
    }

    /// Panics unless the disk has everything that `state` claims.
    pub fn check(&self, who: &str, state: &KnownState) {
        let stored = self.0.get(&state.id);
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
    Send(PeerId, Message),
    Load(CoId),
}

pub struct Host {
    pub name: String,
    pub node: Node,
    pub disk: Option<Disk>,
    waiting: VecDeque<Command>,
    outgoing: Vec<(PeerId, Message)>,
}

impl Host {
    pub fn new(name: String, disk: Option<Disk>) -> Self {
        Self {
            name,
            node: Node::new(disk.is_some()),
            disk,
            waiting: VecDeque::new(),
            outgoing: Vec::new(),
        }
    }

    /// Ends the process; only what is stored stays.
    pub fn crash(&mut self) {
        self.node = Node::new(self.disk.is_some());
        self.waiting.clear();
        self.outgoing.clear();
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
                (Output::Store(_), None)
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
