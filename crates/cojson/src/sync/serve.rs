//! Telling peers what they lack, dependencies before what needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use crate::crypto::short_hash;
use crate::ids::{CoId, ShortHash};
use crate::log::{CoValueLog, KnownState};
use crate::message::Message;
use crate::values::Values;

use super::content::{Have, missing};
use super::lookup::Job;
use super::peer::{PeerId, PeerRole, PeerValue};
use super::{Output, Sync};

impl Sync {
    pub(super) fn on_load(&mut self, values: &mut Values, peer: PeerId, state: KnownState) {
        let id = state.id;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.values.get(&id).is_some_and(|value| value.refused) {
            return;
        }
        let have = Have {
            header: state.header,
            sessions: state.sessions,
        };
        entry.values.insert(
            id.clone(),
            PeerValue {
                confirmed: have.clone(),
                sent: have,
                ..PeerValue::default()
            },
        );
        self.serve(values, peer, &id, BTreeSet::new());
    }

    /// Answers a `load`: with what the peer lacks, or with what we have if it lacks nothing.
    pub(super) fn serve(&mut self, values: &mut Values, peer: PeerId, id: &CoId, without: BTreeSet<CoId>) {
        let Some(role) = self.peers.get(&peer).map(|peer| peer.role) else {
            return;
        };
        if !values.contains(id) {
            if without.contains(id) {
                self.send_known(values, peer, id, false);
            } else {
                self.find(
                    values,
                    id,
                    Some(Job::Serve {
                        peer,
                        id: id.clone(),
                        without,
                    }),
                );
            }
            return;
        }
        if role == PeerRole::Client && self.has_storage {
            let absent = first_absent(values, id, &without);
            if let Some(absent) = absent {
                self.find(
                    values,
                    &absent,
                    Some(Job::Serve {
                        peer,
                        id: id.clone(),
                        without,
                    }),
                );
                return;
            }
        }
        let is_ahead = self.is_ahead(values, peer, id);
        if !self.send_missing(values, peer, role, &mut Dependencies::of(id)) || is_ahead {
            self.send_known(values, peer, id, false);
        }
    }

    /// Whether the peer says it has something of a value that isn't here: content alone wouldn't tell it what we lack.
    fn is_ahead(&self, values: &Values, peer: PeerId, id: &CoId) -> bool {
        let value = self.peers.get(&peer).and_then(|peer| peer.values.get(id));
        match (value, values.get(id)) {
            (Some(value), Some(log)) => !Have::all_of(log).includes(&value.confirmed),
            _ => false,
        }
    }

    /// Sends what a subscribed peer lacks of a changed value.
    pub(super) fn push(
        &mut self,
        values: &Values,
        peer: PeerId,
        role: PeerRole,
        log: &CoValueLog,
        dependencies: &mut Dependencies<'_>,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let interested = match entry.values.get(log.id()) {
            Some(value) => !value.refused,
            None => role == PeerRole::Server,
        };
        if interested {
            self.send_missing(values, peer, role, dependencies);
        }
    }

    /// Sends everything the peer lacks of a value, to clients after what the value depends on; tells whether it lacked
    /// anything of the value itself.
    pub(super) fn send_missing(
        &mut self,
        values: &Values,
        peer: PeerId,
        role: PeerRole,
        dependencies: &mut Dependencies<'_>,
    ) -> bool {
        let id = dependencies.id;
        if role == PeerRole::Client {
            let (order, fingerprint) = dependencies.in_order(values);
            let Some(entry) = self.peers.get_mut(&peer) else {
                return false;
            };
            let value = entry.values.entry(id.clone()).or_default();
            let sent = std::mem::replace(&mut value.dependencies, fingerprint);
            // What was sent once is pushed by itself when it changes.
            if fingerprint.is_none() || sent != fingerprint {
                for dependency in order {
                    self.send_content(values, peer, role, dependency);
                }
            }
        }
        self.send_content(values, peer, role, id)
    }

    fn send_content(&mut self, values: &Values, peer: PeerId, role: PeerRole, id: &CoId) -> bool {
        let (Some(log), Some(entry)) = (values.get(id), self.peers.get_mut(&peer)) else {
            return false;
        };
        let value = entry.values.entry(id.clone()).or_default();
        if value.refused || value.sent.covers(log) {
            return false;
        }
        let messages = missing(log, &value.sent);
        let any = !messages.is_empty();
        value.sent = Have::all_of(log);
        value.told = true;
        if role == PeerRole::Server {
            entry.unconfirmed.insert(id.clone());
        }
        for content in messages {
            self.send(peer, Message::Content(Box::new(content)));
        }
        any
    }

    pub(super) fn on_known(
        &mut self,
        values: &mut Values,
        peer: PeerId,
        state: KnownState,
        is_correction: bool,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let settled = entry.settle(&state.id);
        let role = entry.role;
        let id = state.id;
        let value = entry.values.entry(id.clone()).or_default();
        if is_correction {
            value.confirmed = Have::default();
        }
        value.confirmed.merge(state.header, &state.sessions);
        let lacks_something = !value.confirmed.includes(&value.sent);
        let asked = std::mem::take(&mut value.asked);
        if is_correction || asked {
            value.sent = value.confirmed.clone();
        } else {
            value.sent.merge(state.header, &state.sessions);
        }
        let told = value.told;
        if role == PeerRole::Server {
            self.out.push_back(Output::Confirmed(id.clone()));
        }
        if let Some(log) = values.get(&id) {
            if value.confirmed.covers(log) {
                entry.unconfirmed.remove(&id);
                self.note_synced(log);
            }
            if !self.send_missing(values, peer, role, &mut Dependencies::of(&id)) && !told {
                self.send_known(values, peer, &id, false);
            }
        } else if lacks_something && self.has_storage {
            // It was sent, and has left our memory since.
            self.serve(values, peer, &id, BTreeSet::new());
        }
        for batch in settled {
            self.send(peer, Message::ReconcileAck { batch });
        }
        if !state.header {
            self.peer_lacks(values, peer, &id);
        }
    }

    pub(super) fn on_reconcile(
        &mut self,
        values: &mut Values,
        peer: PeerId,
        batch: String,
        asked: Vec<(CoId, ShortHash)>,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry
            .reconciling
            .push((batch, asked.iter().map(|(id, _)| id.clone()).collect()));
        for (id, hash) in asked {
            self.compare(values, peer, id, hash);
        }
        self.acknowledge_settled(peer, None);
    }

    /// Settles one entry of a reconciliation: equal needs nothing, anything else is asked for.
    pub(super) fn compare(&mut self, values: &mut Values, peer: PeerId, id: CoId, hash: ShortHash) {
        match values.get(&id) {
            Some(log) if hash_of(&log.known_state()) == hash => self.acknowledge_settled(peer, Some(&id)),
            None if self.has_storage && !self.lookups.contains_key(&id) => {
                self.find(values, &id.clone(), Some(Job::Compare { peer, id, hash }));
            }
            _ => self.introduce(values, peer, &id),
        }
    }

    pub(super) fn acknowledge_settled(&mut self, peer: PeerId, id: Option<&CoId>) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let settled = match id {
            Some(id) => entry.settle(id),
            None => {
                let (empty, open): (Vec<_>, Vec<_>) = std::mem::take(&mut entry.reconciling)
                    .into_iter()
                    .partition(|(_, open)| open.is_empty());
                entry.reconciling = open;
                empty.into_iter().map(|(batch, _)| batch).collect()
            }
        };
        for batch in settled {
            self.send(peer, Message::ReconcileAck { batch });
        }
    }
}

/// The hash of a value's counts that reconciliation compares.
fn hash_of(state: &KnownState) -> ShortHash {
    let counts: BTreeMap<&str, u64> = state
        .sessions
        .iter()
        .map(|(id, count)| (id.as_str(), *count))
        .collect();
    short_hash(&serde_json::to_value(counts).unwrap_or(Value::Null))
}

/// What a value depends on, found out when it is asked for, once for all peers.
pub(super) struct Dependencies<'a> {
    id: &'a CoId,
    found: Option<(Vec<CoId>, Option<u64>)>,
}

impl<'a> Dependencies<'a> {
    pub fn of(id: &'a CoId) -> Self {
        Self { id, found: None }
    }

    /// All of them, each after its own, and a fingerprint of the whole if nothing of it is missing.
    fn in_order(&mut self, values: &Values) -> (&[CoId], Option<u64>) {
        let (order, fingerprint) = self.found.get_or_insert_with(|| {
            let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
            collect_dependencies(values, self.id, &mut seen, &mut order);
            let mut hasher = DefaultHasher::new();
            order.hash(&mut hasher);
            let is_whole = order.iter().all(|id| values.contains(id));
            (order, is_whole.then(|| hasher.finish()))
        });
        (order, *fingerprint)
    }
}

/// Appends everything `id` depends on to `order`, each after its own dependencies.
pub(crate) fn collect_dependencies(
    values: &Values,
    id: &CoId,
    seen: &mut BTreeSet<CoId>,
    order: &mut Vec<CoId>,
) {
    // An explicit stack: a hostile chain of parents must not exhaust ours.
    let mut stack = vec![(id.clone(), false)];
    let mut entered = BTreeSet::new();
    while let Some((next, done)) = stack.pop() {
        if done {
            if next != *id && seen.insert(next.clone()) {
                order.push(next);
            }
            continue;
        }
        if seen.contains(&next) || !entered.insert(next.clone()) {
            continue;
        }
        stack.push((next.clone(), true));
        let dependencies: Vec<CoId> = values.dependencies(&next).cloned().collect();
        stack.extend(
            dependencies
                .into_iter()
                .rev()
                .map(|dependency| (dependency, false)),
        );
    }
}

/// A dependency of `id` that isn't in memory and that is worth looking for.
fn first_absent(values: &Values, id: &CoId, without: &BTreeSet<CoId>) -> Option<CoId> {
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    collect_dependencies(values, id, &mut seen, &mut order);
    order
        .into_iter()
        .find(|dependency| !values.contains(dependency) && !without.contains(dependency))
}
