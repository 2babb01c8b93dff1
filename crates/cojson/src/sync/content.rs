//! What a peer lacks, cut into messages that each end where a signature is at hand (protocol, 9.4).

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::ids::{SessionId, Signature};
use crate::limits::CHECKPOINT_BYTES;
use crate::log::{CoValueLog, SessionLog};
use crate::message::{Content, NewContent, priority};

/// What a peer has of one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Have {
    /// The header.
    pub header: bool,
    /// Transactions per session.
    pub sessions: BTreeMap<SessionId, u64>,
}

impl Have {
    /// What somebody has who has all of `log`.
    pub fn all_of(log: &CoValueLog) -> Self {
        Self {
            header: true,
            sessions: log.known_state().sessions,
        }
    }

    /// Notes that at least `count` transactions of the session are there.
    pub fn raise(&mut self, session: &SessionId, count: u64) {
        match self.sessions.get_mut(session) {
            Some(known) => *known = count.max(*known),
            None => drop(self.sessions.insert(session.clone(), count)),
        }
    }

    /// Notes that everything in `other` is there.
    pub fn merge(&mut self, header: bool, sessions: &BTreeMap<SessionId, u64>) {
        self.header |= header;
        for (session, count) in sessions {
            self.raise(session, *count);
        }
    }

    /// Whether nothing of `other` is missing.
    pub fn includes(&self, other: &Self) -> bool {
        let has = |(session, count): (&SessionId, &u64)| {
            *count == 0 || self.sessions.get(session).is_some_and(|have| have >= count)
        };
        (self.header || !other.header) && other.sessions.iter().all(has)
    }

    /// Whether nothing of `log` is missing.
    pub fn covers(&self, log: &CoValueLog) -> bool {
        self.header
            && log.live_sessions().all(|(id, session)| {
                session.signed_len() == 0
                    || self
                        .sessions
                        .get(id)
                        .is_some_and(|have| *have >= session.signed_len() as u64)
            })
    }
}

/// Returns what `have` lacks of the signed part of `log`, as messages in the order they must arrive.
pub(super) fn missing(log: &CoValueLog, have: &Have) -> Vec<Content> {
    let mut pieces = Pieces::new(log);
    for (id, session) in log.live_sessions() {
        let from = have.sessions.get(id).copied().unwrap_or(0);
        let from = usize::try_from(from)
            .unwrap_or(usize::MAX)
            .min(session.signed_len());
        pieces.add_session(id, session, from);
    }
    let mut messages = pieces.finish();
    if messages.is_empty() && !have.header {
        messages.push(empty(log));
    }
    if let Some(first) = messages.first_mut() {
        first.header = (!have.header).then(|| log.header().clone());
    }
    if messages.len() > 1 {
        messages[0].expect_content_until = Some(log.known_state().sessions);
    }
    messages
}

/// All of a value, for somebody who has nothing of it.
pub(crate) fn whole(log: &CoValueLog) -> Vec<Content> {
    missing(log, &Have::default())
}

fn empty(log: &CoValueLog) -> Content {
    Content {
        id: log.id().clone(),
        priority: priority(log.header().kind()),
        header: None,
        new: IndexMap::new(),
        expect_content_until: None,
    }
}

struct Pieces<'a> {
    log: &'a CoValueLog,
    done: Vec<Content>,
    collecting: Content,
    collected_bytes: usize,
}

impl<'a> Pieces<'a> {
    fn new(log: &'a CoValueLog) -> Self {
        Self {
            log,
            done: Vec::new(),
            collecting: empty(log),
            collected_bytes: 0,
        }
    }

    fn add_session(&mut self, id: &SessionId, session: &SessionLog, from: usize) {
        let Some(signature) = session.signature() else {
            return;
        };
        let mut from = from;
        for (last, checkpoint) in session.checkpoints().range(from..) {
            let mut piece = empty(self.log);
            piece
                .new
                .insert(id.clone(), part(session, from, last + 1, checkpoint));
            self.done.push(piece);
            from = last + 1;
        }
        let to = session.signed_len();
        if from == to {
            return;
        }
        let bytes: usize = session.transactions()[from..to]
            .iter()
            .map(crate::transaction::Transaction::size)
            .sum();
        if self.collected_bytes + bytes > CHECKPOINT_BYTES && !self.collecting.new.is_empty() {
            self.done
                .push(std::mem::replace(&mut self.collecting, empty(self.log)));
            self.collected_bytes = 0;
        }
        self.collected_bytes += bytes;
        self.collecting
            .new
            .insert(id.clone(), part(session, from, to, signature));
    }

    fn finish(mut self) -> Vec<Content> {
        if !self.collecting.new.is_empty() {
            self.done.push(self.collecting);
        }
        self.done
    }
}

fn part(session: &SessionLog, from: usize, to: usize, signature: &Signature) -> NewContent {
    NewContent {
        after: from as u64,
        new_transactions: session.transactions()[from..to].to_vec(),
        last_signature: signature.clone(),
    }
}
