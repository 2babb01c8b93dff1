//! Values that somebody waits for: looked for in storage, then at servers (and at the client whose message needs them).
//! What waits is run again from its beginning when the value is there, so every step may find that it has to wait.

use std::collections::BTreeSet;

use crate::ids::{CoId, ShortHash};
use crate::limits::{MAX_PARKED_BYTES, MAX_PARKED_MESSAGES, MAX_SUBSCRIPTIONS};
use crate::log::KnownState;
use crate::message::{Content, Message};
use crate::values::Values;

use super::peer::{Peer, PeerId, PeerRole};
use super::{Output, PeerValue, Sync};

/// Something that could not be done yet. `without`: values that were looked for and that nobody has.
#[derive(Debug)]
pub(super) enum Job {
    /// Send the peer what it lacks of a value.
    Serve {
        peer: PeerId,
        id: CoId,
        without: BTreeSet<CoId>,
    },
    /// Take content.
    Receive {
        peer: PeerId,
        content: Box<Content>,
        without: BTreeSet<CoId>,
    },
    /// Compare a value with what the peer says it has.
    Compare { peer: PeerId, id: CoId, hash: ShortHash },
}

impl Job {
    pub fn peer(&self) -> PeerId {
        match self {
            Self::Serve { peer, .. } | Self::Receive { peer, .. } | Self::Compare { peer, .. } => *peer,
        }
    }

    /// What a message that waits keeps in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Receive { content, .. } => content.size(),
            Self::Serve { .. } | Self::Compare { .. } => 0,
        }
    }
}

/// The search for one value.
#[derive(Debug)]
pub(super) struct Lookup {
    stage: Stage,
    jobs: Vec<Job>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Storage was asked.
    Storage,
    /// These peers were asked and haven't answered.
    Peers(BTreeSet<PeerId>),
}

impl Sync {
    /// Looks for a value that isn't in memory, and has `job` wait for it.
    pub(super) fn find(&mut self, values: &mut Values, id: &CoId, job: Option<Job>) {
        if job.as_ref().is_some_and(|job| !self.park(job)) {
            return;
        }
        let sender = job.as_ref().and_then(|job| self.client_to_ask(id, job));
        // Two peers that ask each other for the same value would wait for ever.
        let asker = job.as_ref().and_then(|job| self.empty_handed(id, job));
        match self.lookups.get_mut(id) {
            Some(lookup) => {
                lookup.jobs.extend(job);
                if let (Stage::Peers(asked), Some(sender)) = (&mut lookup.stage, sender)
                    && asked.insert(sender)
                {
                    self.ask(sender, id);
                }
                if let Some(asker) = asker {
                    self.peer_lacks(values, asker, id);
                }
            }
            None => {
                let stage = if self.has_storage {
                    Stage::Storage
                } else {
                    Stage::Peers(BTreeSet::new())
                };
                let ask_now = stage != Stage::Storage;
                self.lookups.insert(
                    id.clone(),
                    Lookup {
                        stage,
                        jobs: job.into_iter().collect(),
                    },
                );
                if ask_now {
                    self.ask_peers(values, id);
                } else {
                    self.out.push_back(Output::Load(id.clone()));
                }
            }
        }
    }

    /// Whether storage may have a value that isn't in memory, as far as it has told.
    pub(super) fn may_be_stored(&self, id: &CoId) -> bool {
        let lookup = self.lookups.get(id);
        self.has_storage && lookup.is_none_or(|lookup| lookup.stage == Stage::Storage)
    }

    /// The client whose content needs `id`, if it is the one that can have it.
    fn client_to_ask(&self, id: &CoId, job: &Job) -> Option<PeerId> {
        match job {
            Job::Receive { peer, content, .. } if content.id != *id => {
                (self.peers.get(peer)?.role == PeerRole::Client).then_some(*peer)
            }
            _ => None,
        }
    }

    /// The peer that asks for `id` itself and has nothing of it.
    fn empty_handed(&self, id: &CoId, job: &Job) -> Option<PeerId> {
        let Job::Serve { peer, id: asked, .. } = job else {
            return None;
        };
        let has_it = |peer: &Peer| peer.values.get(id).is_some_and(|value| value.confirmed.header);
        (asked == id && !self.peers.get(peer).is_some_and(has_it)).then_some(*peer)
    }

    fn ask_peers(&mut self, values: &mut Values, id: &CoId) {
        let Some(lookup) = self.lookups.get(id) else {
            return;
        };
        let senders: Vec<PeerId> = lookup
            .jobs
            .iter()
            .filter_map(|job| self.client_to_ask(id, job))
            .collect();
        let askers: Vec<PeerId> = lookup
            .jobs
            .iter()
            .filter_map(|job| self.empty_handed(id, job))
            .collect();
        let servers = self.servers().filter(|server| !askers.contains(server));
        let asked: BTreeSet<PeerId> = servers.chain(senders).collect();
        for peer in &asked {
            self.ask(*peer, id);
        }
        if asked.is_empty() {
            self.not_found(values, id);
        } else if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.stage = Stage::Peers(asked);
        }
    }

    fn ask(&mut self, peer: PeerId, id: &CoId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let value = entry.values.entry(id.clone()).or_default();
        *value = PeerValue {
            told: true,
            asked: true,
            refused: value.refused,
            ..PeerValue::default()
        };
        self.send(peer, Message::Load(KnownState::empty(id.clone())));
    }

    /// A server has connected: it is asked for everything that is still looked for.
    pub(super) fn ask_again(&mut self, peer: PeerId) {
        for id in &self.wanted {
            self.lookups.entry(id.clone()).or_insert_with(|| Lookup {
                stage: Stage::Peers(BTreeSet::new()),
                jobs: Vec::new(),
            });
        }
        let mut ask = Vec::new();
        for (id, lookup) in &mut self.lookups {
            if let Stage::Peers(asked) = &mut lookup.stage
                && asked.insert(peer)
            {
                ask.push(id.clone());
            }
        }
        for id in ask {
            self.ask(peer, &id);
        }
    }

    /// Storage doesn't have it.
    pub(super) fn not_in_storage(&mut self, values: &mut Values, id: &CoId) {
        let Some(lookup) = self
            .lookups
            .get_mut(id)
            .filter(|lookup| lookup.stage == Stage::Storage)
        else {
            return;
        };
        // Content of the value itself had to wait only to know whether there is more of it.
        let (own, others): (Vec<Job>, Vec<Job>) = std::mem::take(&mut lookup.jobs)
            .into_iter()
            .partition(|job| matches!(job, Job::Receive { content, .. } if content.id == *id));
        lookup.jobs = others;
        lookup.stage = Stage::Peers(BTreeSet::new());
        if lookup.jobs.is_empty() && !self.wanted.contains(id) {
            self.lookups.swap_remove(id);
        }
        for job in own {
            self.unpark(&job);
            if let Job::Receive {
                peer,
                content,
                mut without,
            } = job
            {
                without.insert(id.clone());
                self.receive(values, peer, content, without);
            }
        }
        if self.lookups.contains_key(id) && !values.contains(id) {
            self.ask_peers(values, id);
        }
    }

    /// A peer that was asked doesn't have it.
    pub(super) fn peer_lacks(&mut self, values: &mut Values, peer: PeerId, id: &CoId) {
        if let Some(Lookup {
            stage: Stage::Peers(asked),
            ..
        }) = self.lookups.get_mut(id)
            && asked.remove(&peer)
            && asked.is_empty()
        {
            self.not_found(values, id);
        }
    }

    fn not_found(&mut self, values: &mut Values, id: &CoId) {
        let Some(lookup) = self.lookups.swap_remove(id) else {
            return;
        };
        if self.wanted.contains(id) {
            self.out.push_back(Output::Unavailable(id.clone()));
        }
        for mut job in lookup.jobs {
            self.unpark(&job);
            if let Job::Serve { without, .. } | Job::Receive { without, .. } = &mut job {
                without.insert(id.clone());
            }
            self.run(values, job);
        }
    }

    /// The value is in memory now.
    pub(super) fn found(&mut self, values: &mut Values, id: &CoId) {
        self.wanted.swap_remove(id);
        if let Some(lookup) = self.lookups.swap_remove(id) {
            for job in lookup.jobs {
                self.unpark(&job);
                self.run(values, job);
            }
        }
    }

    /// Has a job wait until somebody sends the value, without looking for it again.
    pub(super) fn wait_for(&mut self, id: &CoId, job: Job) {
        if self.park(&job) {
            let waiting = || Lookup {
                stage: Stage::Peers(BTreeSet::new()),
                jobs: Vec::new(),
            };
            self.lookups
                .entry(id.clone())
                .or_insert_with(waiting)
                .jobs
                .push(job);
        }
    }

    /// Makes room for a job that has to wait. Where there is none, only the value is noted, and
    /// [taken up](Sync::resume) later.
    fn park(&mut self, job: &Job) -> bool {
        let id = match job {
            Job::Receive { content, .. } => &content.id,
            Job::Serve { id, .. } | Job::Compare { id, .. } => id,
        };
        let Some(peer) = self.peers.get_mut(&job.peer()) else {
            return false;
        };
        if peer.has_room(job.bytes(), MAX_PARKED_MESSAGES, MAX_PARKED_BYTES) {
            peer.parked += 1;
            peer.parked_bytes += job.bytes();
            return true;
        }
        if peer.postponed.len() >= MAX_SUBSCRIPTIONS {
            let (peer, id) = (job.peer(), id.clone());
            let reason = "too many messages of this peer wait for other values".to_owned();
            self.out.push_back(Output::Refused { peer, id, reason });
            return false;
        }
        match job {
            Job::Serve { .. } => peer.postponed.serve.insert(id.clone()),
            Job::Receive { .. } | Job::Compare { .. } => peer.postponed.receive.insert(id.clone()),
        };
        self.postponing.insert(job.peer());
        false
    }

    /// Takes up what was dropped for want of room, where there is room again.
    pub(super) fn resume(&mut self, values: &mut Values) {
        for id in std::mem::take(&mut self.postponing) {
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            let (mut serve, mut receive) = (Vec::new(), Vec::new());
            if peer.has_room(0, MAX_PARKED_MESSAGES / 2, MAX_PARKED_BYTES / 2) {
                let room = MAX_PARKED_MESSAGES / 2;
                let postponed = &mut peer.postponed;
                serve.extend(std::iter::from_fn(|| postponed.serve.pop_first()).take(room));
                let room = room - serve.len();
                receive.extend(std::iter::from_fn(|| postponed.receive.pop_first()).take(room));
            }
            if peer.postponed.len() > 0 {
                self.postponing.insert(id);
            }
            for value in receive {
                // The peer sends again what we lack.
                self.acknowledge(id, &value, true);
            }
            for value in serve {
                self.serve(values, id, &value, BTreeSet::new());
            }
        }
    }

    fn unpark(&mut self, job: &Job) {
        if let Some(peer) = self.peers.get_mut(&job.peer()) {
            peer.parked = peer.parked.saturating_sub(1);
            peer.parked_bytes = peer.parked_bytes.saturating_sub(job.bytes());
        }
    }

    pub(super) fn drop_jobs_of(&mut self, peer: PeerId) {
        for lookup in self.lookups.values_mut() {
            lookup.jobs.retain(|job| job.peer() != peer);
            if let Stage::Peers(asked) = &mut lookup.stage {
                asked.remove(&peer);
            }
        }
        let wanted = &self.wanted;
        self.lookups.retain(|id, lookup| {
            !lookup.jobs.is_empty() || wanted.contains(id) || lookup.stage == Stage::Storage
        });
    }
}
