//! A node: the values it holds, what they show, whom it acts for, and its peers.
//!
//! Everything is done at once and nothing waits. After each input or command the caller drains
//! [`Node::poll_output`] and carries out what it says.

use std::collections::{HashMap, HashSet, VecDeque};

use indexmap::{IndexMap, IndexSet};

use crate::content::{Feed, FileView, ListView, MapView, StreamView};
use crate::group::{Groups, Reader};
use crate::header::Header;
use crate::ids::{AccountId, Author, CoId, SessionId};
use crate::log::{CoValueLog, KnownState};
use crate::message::Message;
use crate::secrets::{AgentSecret, SignerSecret};
use crate::sync::{Output, PeerId, PeerRole, Recalled, Sync, Unconfirmed};
use crate::transaction::Timestamp;
use crate::values::{Fingerprint, Values, fingerprint};

/// Most values remembered to be nowhere.
const MAX_UNAVAILABLE: usize = 10_000;

/// What it takes to act as an account.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub account_id: AccountId,
    /// Its secret.
    pub agent_secret: AgentSecret,
}

impl Credentials {
    /// The account that belongs to a secret.
    pub fn of(agent_secret: AgentSecret) -> Self {
        let account_id = Header::account(agent_secret.id()).id().clone().into();
        Self {
            account_id,
            agent_secret,
        }
    }
}

/// Somebody who writes, in a session of their own.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub author: Author,
    pub session: SessionId,
    pub secret: AgentSecret,
}

impl Writer {
    /// The session it writes to `id` in: its own account knows it by its agent.
    pub fn session_in(&self, id: &CoId) -> SessionId {
        if self
            .author
            .account()
            .is_some_and(|account| account.as_co_id() == id)
        {
            self.session.with_author(self.secret.id().clone().into())
        } else {
            self.session.clone()
        }
    }
}

/// Values, content, an account, and peers. A node without an account serves others: a sync server.
#[derive(Debug, Default)]
pub struct Node {
    pub(crate) values: Values,
    pub(crate) groups: Groups,
    pub(crate) sync: Sync,
    pub(crate) reader: Reader,
    pub(crate) writer: Option<Writer>,
    pub(crate) views: Views,
    /// Sessions with own transactions that must be signed before they leave, in the order of the writes.
    unsigned: IndexMap<(CoId, SessionId), SignerSecret>,
    /// Values that were written to, and of which nobody was told yet.
    written: IndexSet<CoId>,
    /// Own writes wait for [`Node::flush`] instead of the next [`Node::poll_output`].
    holds_writes: bool,
    /// Values in which the current session has named its place.
    pub(crate) placed: HashSet<CoId>,
    /// How much the current session had written of values that have left memory. Whoever gives them back without that
    /// must not have us write it anew: a transaction's place decides the key stream it is encrypted with.
    pub(crate) tails: HashMap<CoId, usize>,
    /// Values that nobody had when they were last asked for.
    pub(crate) unavailable: HashSet<CoId>,
    outputs: VecDeque<Output>,
}

/// The content of the values that have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Views {
    pub maps: HashMap<CoId, Feed<MapView>>,
    pub lists: HashMap<CoId, Feed<ListView>>,
    pub streams: HashMap<CoId, Feed<StreamView>>,
    pub files: HashMap<CoId, Feed<FileView>>,
}

impl Views {
    fn ids(&self) -> impl Iterator<Item = &CoId> {
        self.maps
            .keys()
            .chain(self.lists.keys())
            .chain(self.streams.keys())
            .chain(self.files.keys())
    }

    fn remove(&mut self, id: &CoId) {
        self.maps.remove(id);
        self.lists.remove(id);
        self.streams.remove(id);
        self.files.remove(id);
    }
}

impl Node {
    /// A node without values. One with storage is asked to load what isn't in memory.
    pub fn new(has_storage: bool) -> Self {
        Self {
            sync: Sync::new(has_storage),
            ..Self::default()
        }
    }

    /// Whether own writes wait until [`Node::flush`] is called, so that many of them are signed and sent as one. They show
    /// at once here.
    pub fn hold_writes(&mut self, hold: bool) {
        self.holds_writes = hold;
    }

    /// How far ahead of the clock received transactions may be dated.
    pub fn set_max_future_millis(&mut self, millis: u64) {
        self.values.set_max_future_millis(millis);
    }

    /// All values in memory.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// All values in memory, to put something in without peers. Storage and peers aren't told.
    pub fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Whether the header of `id` is in memory.
    pub fn has(&self, id: &CoId) -> bool {
        self.values.contains(id)
    }

    /// The log of a value in memory.
    pub fn log(&self, id: &CoId) -> Option<&CoValueLog> {
        self.values.get(id)
    }

    /// How much of a value is in memory.
    pub fn known_state(&self, id: &CoId) -> KnownState {
        self.log(id)
            .map_or_else(|| KnownState::empty(id.clone()), CoValueLog::known_state)
    }

    /// What must be in memory to read `id`, and isn't: itself, its dependencies, and theirs.
    pub fn missing_dependencies(&self, id: &CoId) -> Vec<CoId> {
        let mut missing = Vec::new();
        let mut met = HashSet::from([id.clone()]);
        let mut pending = vec![id.clone()];
        while let Some(id) = pending.pop() {
            match self.values.get(&id) {
                Some(log) => {
                    let new = log
                        .dependencies()
                        .iter()
                        .filter(|dependency| met.insert((*dependency).clone()));
                    pending.extend(new.cloned());
                }
                None => missing.push(id),
            }
        }
        missing
    }

    /// Takes a value out of memory; storage keeps it. Returns `false` if it is in use: unsaved, or waited for.
    pub fn forget(&mut self, id: &CoId) -> bool {
        if self.sync.is_busy(id) || self.unsigned.keys().any(|(unsigned, _)| unsigned == id) {
            return false;
        }
        self.sync.forget(id);
        self.views.remove(id);
        self.groups.forget(id);
        let log = self.values.remove(id);
        if let Some(log) = log.as_ref().filter(|_| self.sync.has_storage()) {
            self.values.recall(beginnings(log));
        }
        if let (Some(log), Some(writer)) = (log, &self.writer) {
            let written = log.session_len(&writer.session_in(id));
            if written > 0 {
                self.tails.insert(id.clone(), written);
            }
        }
        true
    }

    // The account.

    /// The account we act for.
    pub fn account(&self) -> Option<&AccountId> {
        self.writer.as_ref()?.author.account()
    }

    /// The account we act for, with its secret.
    pub fn credentials(&self) -> Option<Credentials> {
        let writer = self.writer.as_ref()?;
        let account_id = writer.author.account()?.clone();
        Some(Credentials {
            account_id,
            agent_secret: writer.secret.clone(),
        })
    }

    /// Everything shown so far was seen with other eyes.
    pub(crate) fn forget_content(&mut self) {
        self.views = Views::default();
        self.groups = Groups::default();
    }

    /// The session we write in.
    pub fn session(&self) -> Option<&SessionId> {
        self.writer.as_ref().map(|writer| &writer.session)
    }

    // Peers and storage.

    /// Has storage note, from now on, what some server lacks: of which the node is meant to have so many.
    pub fn note_for_servers(&mut self, expected: usize) {
        self.sync.note_for_servers(expected);
    }

    /// What storage has noted in former runs, before anything else is done.
    pub fn recall(&mut self, recalled: &Recalled) {
        self.sync.recall(recalled.unsynced.iter().cloned());
        self.values.recall(recalled.beginnings.iter().copied());
    }

    /// A peer is there.
    pub fn peer_connected(&mut self, peer: PeerId, role: PeerRole) {
        self.sync.connected(&self.values, peer, role);
    }

    /// A peer is gone.
    pub fn peer_disconnected(&mut self, peer: PeerId) {
        self.sync.disconnected(peer);
    }

    /// A message came.
    pub fn handle_message(&mut self, now: Timestamp, peer: PeerId, message: Message) {
        self.sync.handle(&mut self.values, now, peer, message);
    }

    /// Something came that is about `id` and can't be understood.
    pub fn handle_malformed(&mut self, peer: PeerId, id: &CoId, reason: String) {
        self.sync.handle_malformed(&self.values, peer, id, reason);
    }

    /// Storage answers an [`Output::Load`].
    pub fn handle_loaded(&mut self, now: Timestamp, id: &CoId, log: Option<CoValueLog>) {
        self.sync.loaded(&mut self.values, now, id, log);
    }

    /// Somebody here wants a value: storage is asked, then servers.
    pub fn request(&mut self, id: &CoId) {
        self.sync.request(&mut self.values, id);
    }

    /// What servers have not confirmed of what is in memory now; without a server, everything.
    pub fn unconfirmed(&mut self) -> Unconfirmed {
        self.flush();
        self.sync.unconfirmed(&self.values)
    }

    /// Strikes out what every connected server has confirmed by now; tells whether that is all.
    pub fn check_confirmed(&self, unconfirmed: &mut Unconfirmed) -> bool {
        self.sync.check_confirmed(unconfirmed)
    }

    /// As [`Node::check_confirmed`], but looks only at one value: that of an [`Output::Confirmed`].
    pub fn check_one_confirmed(&self, unconfirmed: &mut Unconfirmed, id: &CoId) -> bool {
        self.sync.check_one_confirmed(unconfirmed, id)
    }

    /// Whether a server is still sending pieces of a value.
    pub fn is_incomplete(&self, id: &CoId) -> bool {
        self.sync.is_incomplete(id)
    }

    /// The next thing to do. Own writes are signed here, once for all since the last time, unless the node
    /// [holds](Node::hold_writes) them.
    pub fn poll_output(&mut self) -> Option<Output> {
        if !self.holds_writes {
            self.flush();
        }
        self.sync.flush(&self.values);
        if let Some(output) = self.sync.poll() {
            match &output {
                Output::Changed(id) => {
                    let id = id.clone();
                    self.notice_deletion(&id);
                    self.notify_dependents(&id);
                }
                Output::Unavailable(id) if self.unavailable.len() < MAX_UNAVAILABLE => {
                    self.unavailable.insert(id.clone());
                }
                _ => {}
            }
            return Some(output);
        }
        if let Some(id) = self.written.pop() {
            self.notice_deletion(&id);
            self.notify_dependents(&id);
            return Some(Output::Changed(id));
        }
        self.outputs.pop_front()
    }

    /// From now on nothing but its deletion is told of a value that was deleted, and nothing else is kept of it. What it
    /// depends on must be here to tell.
    pub fn notice_deletion(&mut self, id: &CoId) {
        let may_be = |log: &CoValueLog| log.has_delete_session() && !log.is_deleted();
        if self.values.get(id).is_some_and(may_be)
            && self.is_deleted(id)
            && let Some(log) = self.values.get_mut(id)
        {
            log.mark_deleted();
            if self.sync.has_storage() && log.sessions().keys().any(|session| !session.is_delete()) {
                self.outputs.push_back(Output::Erase(id.clone()));
            }
        }
    }

    /// Whether own writes wait for [`Node::flush`].
    pub fn has_held_writes(&self) -> bool {
        !self.unsigned.is_empty()
    }

    /// Signs what we wrote and hands it to storage and peers.
    pub fn flush(&mut self) {
        for ((id, session), secret) in std::mem::take(&mut self.unsigned) {
            if let Some(log) = self.values.get_mut(&id) {
                log.sign_own(&session, &secret);
            }
            self.sync.changed(&id);
        }
        self.sync.flush(&self.values);
    }

    /// What comes before every local write.
    ///
    /// What is flushed together leaves value by value. So that nothing leaves before what it may refer to, going back to
    /// a value after others were written to flushes them all.
    pub(crate) fn will_write(&mut self, id: &CoId, session: &SessionId, secret: &SignerSecret) {
        let key = (id.clone(), session.clone());
        let position = self.unsigned.get_index_of(&key);
        if position.is_some_and(|position| position + 1 < self.unsigned.len()) {
            self.flush();
        }
        self.unsigned.insert(key, secret.clone());
        self.written.insert(id.clone());
    }

    /// A group decides what its values show: those that were looked at may have changed with it.
    fn notify_dependents(&mut self, id: &CoId) {
        let is_group = |id: &CoId| self.groups.get(id).is_some();
        if !is_group(id) {
            return;
        }
        let mut affected = HashSet::from([id.clone()]);
        loop {
            let children = self.groups.iter().filter(|group| !affected.contains(group.id()));
            let inheriting =
                children.filter(|group| group.depends_on().any(|parent| affected.contains(parent)));
            let new: Vec<CoId> = inheriting.map(|group| group.id().clone()).collect();
            if new.is_empty() {
                break;
            }
            affected.extend(new);
        }
        let is_affected = |value: &&CoId| {
            let owner = self.values.get(value).and_then(|log| log.header().owner());
            owner.is_some_and(|owner| affected.contains(owner))
        };
        let values = self.views.ids().filter(is_affected);
        let groups = affected.iter().filter(|group| *group != id);
        let changed: Vec<Output> = groups.chain(values).cloned().map(Output::Changed).collect();
        self.outputs.extend(changed);
    }
}

/// How the sessions of a log begin.
fn beginnings(log: &CoValueLog) -> impl Iterator<Item = Fingerprint> {
    let sessions = log.sessions().iter();
    sessions.filter_map(|(session, content)| fingerprint(log.header(), session, content.transactions()))
}
