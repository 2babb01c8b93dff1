//! From the log to transactions that count: permission, decryption, what meta says, order.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{Needs, Order, View};
use crate::crypto::{Nonce, decrypt};
use crate::group::{Groups, Reader, Role};
use crate::header::Ruleset;
use crate::ids::{CoId, SessionId};
use crate::log::{CoValueLog, TxRef};
use crate::transaction::{Timestamp, Transaction};
use crate::values::Values;

/// A branch of a branch, and so on, is read up to this depth.
pub(crate) const MAX_BRANCH_DEPTH: usize = 16;

/// What a view is built from.
pub(crate) struct Source<'a> {
    pub values: &'a Values,
    pub groups: &'a mut Groups,
    pub reader: &'a Reader,
    /// Only what was made up to this time is shown.
    pub until: Timestamp,
}

/// How many transactions of each session belong to something.
pub(crate) type Counts = BTreeMap<SessionId, u64>;

/// A view with the account of what has gone into it.
#[derive(Debug, Default)]
pub(crate) struct Feed<V> {
    pub view: V,
    /// How much of the log's arrivals has been applied.
    cursor: usize,
    /// The version of the owning group that this was decided by.
    group_version: usize,
    progress: Progress,
    /// The last transaction applied, in order.
    last: Option<Order>,
    /// The first writer for each key of first-writer-wins.
    first_writers: HashMap<String, Order>,
    /// What was merged into the value from branches: each transaction of a branch counts once.
    merged: HashSet<Order>,
    /// How much of its source belongs to a branch.
    from: Counts,
    /// What a branch grew out of, nearest first.
    bases: Vec<Base>,
}

/// What is remembered between the transactions of one log.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The latest time seen; what changes in the group after it changes nothing here.
    latest: Timestamp,
    /// Whether a transaction was skipped for want of its key, which may still come.
    waits_for_key: bool,
    /// For each session, the index of the last transaction that merges something, and where that came from.
    merges: HashMap<SessionId, (u32, Order)>,
}

/// A part of another value that is part of a branch.
#[derive(Debug)]
struct Base {
    id: CoId,
    from: Counts,
    /// How many transactions of it were here, and the version of the group that owns it.
    seen: (u64, usize),
}

impl Base {
    fn new(source: &Source<'_>, id: CoId, from: Counts) -> Self {
        let seen = Self::state(source, &id, &from);
        Self { id, from, seen }
    }

    fn state(source: &Source<'_>, id: &CoId, from: &Counts) -> (u64, usize) {
        let Some(log) = source.values.get(id) else {
            return (0, 0);
        };
        let here = |(session, count): (&SessionId, &u64)| (*count).min(log.session_len(session) as u64);
        (from.iter().map(here).sum(), source.version_of(log))
    }

    fn is_stale(&self, source: &Source<'_>) -> bool {
        Self::state(source, &self.id, &self.from) != self.seen
    }
}

/// A transaction with permission, in clear.
pub(crate) struct Prepared {
    pub order: Order,
    pub changes: Vec<Value>,
    pub meta: Option<Value>,
}

impl Prepared {
    /// A member of its meta that holds counts.
    pub fn counts(&self, member: &str) -> Option<Counts> {
        let counts = self.meta.as_ref()?.get(member)?.as_object()?.iter();
        Some(
            counts
                .filter_map(|(session, count)| Some((session.parse().ok()?, count.as_u64()?)))
                .collect(),
        )
    }
}

/// Keeps the larger counts; whether that changed anything.
pub(crate) fn merge_counts(into: &mut Counts, counts: Counts) -> bool {
    let mut has_changed = false;
    for (session, count) in counts {
        let known = into.entry(session).or_default();
        has_changed |= *known < count;
        *known = count.max(*known);
    }
    has_changed
}

impl<V: View> Feed<V> {
    /// Takes in what is new in the log and in the owning group.
    pub fn catch_up(&mut self, source: &mut Source<'_>, log: &CoValueLog) {
        let version = source.version_of(log);
        if version != self.group_version {
            let owner = log.header().owner().and_then(|owner| source.groups.get(owner));
            let changed = owner.and_then(|group| group.changed_since(self.group_version));
            if self.progress.waits_for_key || changed.is_some_and(|from| from <= self.progress.latest) {
                *self = Self::default();
            }
            self.group_version = version;
        }
        if self.bases.iter().any(|base| base.is_stale(source)) {
            *self = Self::default();
            self.group_version = version;
        }
        if self.cursor == log.arrivals().len() {
            return;
        }
        if !self.add(source, log, self.cursor) {
            *self = Self {
                group_version: version,
                ..Self::default()
            };
            let complete = self.add(source, log, 0);
            debug_assert!(complete, "everything in order needs no second try");
        }
        self.cursor = log.arrivals().len();
    }

    /// Applies the arrivals from `from` on. `false`: they come before what has been applied; build anew.
    fn add(&mut self, source: &mut Source<'_>, log: &CoValueLog, from: usize) -> bool {
        let keeps_arrival = V::NEEDS == Needs::OrderOfArrival;
        let arrivals = &log.arrivals()[from..];
        let mut prepared: Vec<Prepared> = arrivals
            .iter()
            .filter_map(|tx| source.prepare(log, *tx, &mut self.progress))
            .collect();
        if log.header().source().is_some() && !keeps_arrival {
            let mut has_grown = false;
            for counts in prepared.iter().filter_map(|tx| tx.counts("from")) {
                has_grown |= merge_counts(&mut self.from, counts);
            }
            if has_grown && from > 0 {
                return false;
            }
            if from == 0 {
                prepared.extend(self.base_of(source, log));
            }
        }
        if !keeps_arrival && !prepared.is_sorted_by(|a, b| a.order <= b.order) {
            prepared.sort_by(|a, b| a.order.cmp(&b.order));
        }
        prepared
            .into_iter()
            .all(|transaction| self.apply(transaction, keeps_arrival))
    }

    /// What a branch has from its source, and that from its own.
    fn base_of(&mut self, source: &mut Source<'_>, log: &CoValueLog) -> Vec<Prepared> {
        let mut prepared = Vec::new();
        let mut from = self.from.clone();
        let mut level = log.header().source();
        while let Some(id) = level.filter(|_| self.bases.len() < MAX_BRANCH_DEPTH) {
            let values = source.values;
            let base = values.get(&id);
            let part = base.map_or_else(Vec::new, |log| source.part(log, &from, &mut self.progress));
            let mut next = Counts::new();
            for counts in part.iter().filter_map(|tx| tx.counts("from")) {
                merge_counts(&mut next, counts);
            }
            prepared.extend(part);
            self.bases.push(Base::new(source, id, from));
            level = base.and_then(|log| log.header().source());
            from = next;
        }
        prepared
    }

    /// `false`: it comes before what has been applied; build anew.
    fn apply(&mut self, transaction: Prepared, keeps_arrival: bool) -> bool {
        let Prepared { order, changes, meta } = transaction;
        let first_writer = meta.as_ref().and_then(|meta| meta.get("fww")?.as_str());
        let is_late = !keeps_arrival && self.last.as_ref().is_some_and(|last| *last > order);
        if is_late && (V::NEEDS == Needs::OrderOfTime || first_writer.is_some()) {
            return false;
        }
        if order.merged_in.is_some() {
            let original = Order {
                merged_in: None,
                ..order.clone()
            };
            // A file stands where it was written and isn't merged.
            if keeps_arrival || !self.merged.insert(original) {
                return true;
            }
        }
        let counts = first_writer.is_none_or(|key| {
            let first = self.first_writers.entry(key.to_owned());
            *first.or_insert_with(|| order.clone()) == order
        });
        self.view.apply(&order, changes, counts);
        if !is_late {
            self.last = Some(order);
        }
        true
    }
}

impl Source<'_> {
    /// Everything of a log that counts, in the order of arrival.
    pub fn transactions(&mut self, log: &CoValueLog) -> Vec<(TxRef, Prepared)> {
        self.readable(log).0
    }

    /// Everything of a log that counts, in the order of arrival, and what may count and lacks its key.
    pub fn readable(&mut self, log: &CoValueLog) -> (Vec<(TxRef, Prepared)>, Vec<TxRef>) {
        let (mut progress, mut read, mut closed) = (Progress::default(), Vec::new(), Vec::new());
        for tx in log.arrivals() {
            progress.waits_for_key = false;
            match self.prepare(log, *tx, &mut progress) {
                Some(prepared) => read.push((*tx, prepared)),
                None if progress.waits_for_key => closed.push(*tx),
                None => {}
            }
        }
        (read, closed)
    }

    /// Of a log that a branch grew out of, what belongs to the branch.
    fn part(&mut self, log: &CoValueLog, from: &Counts, of_branch: &mut Progress) -> Vec<Prepared> {
        let mut progress = Progress::default();
        let is_part = |tx: &&TxRef| {
            let count = from.get(log.session_id(**tx));
            count.is_some_and(|count| u64::from(tx.index) < *count)
        };
        let part = log.arrivals().iter().filter(is_part);
        let prepared = part
            .filter_map(|tx| self.prepare(log, *tx, &mut progress))
            .collect();
        of_branch.latest = of_branch.latest.max(progress.latest);
        of_branch.waits_for_key |= progress.waits_for_key;
        prepared
    }

    fn version_of(&self, log: &CoValueLog) -> usize {
        let owner = log.header().owner().and_then(|owner| self.groups.get(owner));
        owner.map_or(0, |group| group.version())
    }

    fn prepare(&mut self, log: &CoValueLog, tx_ref: TxRef, progress: &mut Progress) -> Option<Prepared> {
        let transaction = log.transaction(tx_ref);
        let session = log.session_id(tx_ref);
        let at = transaction.made_at();
        progress.latest = progress.latest.max(at);
        if at > self.until {
            return None;
        }
        let (role, restricted) = match log.header().ruleset() {
            Ruleset::UnsafeAllowAll => (Role::Admin, false),
            Ruleset::OwnedByGroup {
                group,
                restrict_deletion,
            } => {
                let role = self.groups.role_at(group, session.author().as_str(), at)?;
                (role, *restrict_deletion == Some(true))
            }
            Ruleset::Group { .. } => return None,
        };
        if !role.can_write() {
            return None;
        }
        let (changes, meta) = match self.open(log, tx_ref) {
            Ok(clear) => clear,
            Err(Closed::NoKey) => {
                progress.waits_for_key = true;
                return None;
            }
            Err(Closed::Garbage) => return None,
        };
        if restricted && !role.can_manage() && changes.iter().any(|change| change["op"] == "del") {
            return None;
        }
        let order = place(log, tx_ref, meta.as_ref(), progress)?;
        Some(Prepared { order, changes, meta })
    }

    /// A transaction's changes and meta in clear.
    pub fn open(&mut self, log: &CoValueLog, tx_ref: TxRef) -> Result<(Vec<Value>, Option<Value>), Closed> {
        match log.transaction(tx_ref) {
            Transaction::Trusting(tx) => {
                let changes = parse_changes(&tx.changes).ok_or(Closed::Garbage)?;
                Ok((changes, tx.meta.as_deref().and_then(parse)))
            }
            Transaction::Private(tx) => {
                let owner = log.header().owner().ok_or(Closed::Garbage)?;
                let key = self.groups.secret(self.values, self.reader, owner, &tx.key_used);
                let key = key.ok_or(Closed::NoKey)?;
                let nonce = Nonce::of_transaction(log.id(), log.session_id(tx_ref), tx_ref.index as usize);
                let changes = decrypt(&tx.encrypted_changes, &key, &nonce);
                let changes = changes
                    .as_deref()
                    .and_then(parse_changes)
                    .ok_or(Closed::Garbage)?;
                let meta = tx.meta.as_deref().and_then(|meta| decrypt(meta, &key, &nonce));
                Ok((changes, meta.as_deref().and_then(parse)))
            }
        }
    }
}

/// Why a transaction can't be read.
pub(crate) enum Closed {
    /// Its key is out of reach, for now.
    NoKey,
    /// It holds nothing that can be understood.
    Garbage,
}

/// Where a transaction stands in the order: what was merged from a branch stands where it stood there. `None`: it claims
/// to be merged before it was written.
fn place(log: &CoValueLog, tx_ref: TxRef, meta: Option<&Value>, progress: &mut Progress) -> Option<Order> {
    let session = log.session_id(tx_ref);
    let branch = || log.header().source().is_some().then(|| log.id().clone());
    let own = |index: u32, at: Timestamp| Order {
        at,
        session: session.clone(),
        index,
        branch: branch(),
        merged_in: None,
    };
    let at = log.transaction(tx_ref).made_at();
    let Some((meta, index)) = meta.and_then(|meta| Some((meta, meta.get("mi")?))) else {
        return Some(own(tx_ref.index, at));
    };
    let index = u32::try_from(index.as_u64()?).ok()?;
    // What isn't said is as in the transaction before.
    let before = match (progress.merges.get(session), tx_ref.index.checked_sub(1)) {
        (Some((last, merged)), Some(before)) if *last == before => Some(merged.clone()),
        (_, Some(before)) => {
            let before = TxRef {
                index: before,
                ..tx_ref
            };
            Some(own(before.index, log.transaction(before).made_at()))
        }
        (_, None) => None,
    };
    let said = |member: &str| meta.get(member).and_then(Value::as_str);
    let order = Order {
        at: match meta.get("t").map(Value::as_u64) {
            None | Some(Some(0)) => before.as_ref().map_or(at, |before| before.at),
            Some(since) => Timestamp(at.0.checked_sub(since?)?),
        },
        session: match said("s") {
            Some(session) => session.parse().ok()?,
            None => before.as_ref()?.session.clone(),
        },
        index,
        branch: match said("b") {
            Some(branch) => Some(branch.parse().ok()?),
            None => before.and_then(|before| before.branch),
        },
        merged_in: Some(session.clone()),
    };
    progress
        .merges
        .insert(session.clone(), (tx_ref.index, order.clone()));
    (order.at <= at).then_some(order)
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn parse_changes(text: &str) -> Option<Vec<Value>> {
    serde_json::from_str(text).ok()
}
