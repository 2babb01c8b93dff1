//! From the log to transactions that count: permission, decryption, first writer wins, order.

use std::collections::HashMap;

use serde_json::Value;

use super::{Needs, Order, View};
use crate::crypto::{Nonce, decrypt};
use crate::group::{Groups, Reader, Role};
use crate::header::Ruleset;
use crate::log::{CoValueLog, TxRef};
use crate::transaction::{Timestamp, Transaction};
use crate::values::Values;

/// What a view is built from.
pub(crate) struct Source<'a> {
    pub values: &'a Values,
    pub groups: &'a mut Groups,
    pub reader: &'a Reader,
    /// Only what was made up to this time is shown.
    pub until: Timestamp,
}

/// A view with the account of what has gone into it.
#[derive(Debug, Default)]
pub(crate) struct Feed<V> {
    pub view: V,
    /// How much of the log's arrivals has been applied.
    cursor: usize,
    /// The version of the owning group that this was decided by.
    group_version: usize,
    /// The latest time seen; what changes in the group after it changes nothing here.
    latest: Timestamp,
    /// The last transaction applied, in order.
    last: Option<Order>,
    /// Whether a transaction was skipped for want of its key, which may still come.
    waits_for_key: bool,
    /// The first writer for each key of first-writer-wins.
    first_writers: HashMap<String, Order>,
}

/// A transaction with permission, in clear.
struct Prepared {
    order: Order,
    changes: Vec<Value>,
    first_writer: Option<String>,
}

impl<V: View> Feed<V> {
    /// Takes in what is new in the log and in the owning group.
    pub fn catch_up(&mut self, source: &mut Source<'_>, log: &CoValueLog) {
        let version = match log.header().owner() {
            Some(owner) => source.groups.get(owner).map_or(0, |group| group.version()),
            None => 0,
        };
        if version != self.group_version {
            let owner = log.header().owner().and_then(|owner| source.groups.get(owner));
            let changed = owner.and_then(|group| group.changed_since(self.group_version));
            if self.waits_for_key || changed.is_some_and(|from| from <= self.latest) {
                *self = Self::default();
            }
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
        let arrivals = &log.arrivals()[from..];
        let mut prepared: Vec<Prepared> = arrivals
            .iter()
            .filter_map(|tx| self.prepare(source, log, *tx))
            .collect();
        let keeps_arrival = V::NEEDS == Needs::OrderOfArrival;
        if !keeps_arrival && !prepared.is_sorted_by(|a, b| a.order <= b.order) {
            prepared.sort_by(|a, b| a.order.cmp(&b.order));
        }
        for transaction in prepared {
            let Prepared {
                order,
                changes,
                first_writer,
            } = transaction;
            let is_late = !keeps_arrival && self.last.as_ref().is_some_and(|last| *last > order);
            if is_late && (V::NEEDS == Needs::OrderOfTime || first_writer.is_some()) {
                return false;
            }
            let counts = first_writer.is_none_or(|key| {
                let first = self.first_writers.entry(key).or_insert_with(|| order.clone());
                *first == order
            });
            self.view.apply(&order, changes, counts);
            if !is_late {
                self.last = Some(order);
            }
        }
        true
    }

    fn prepare(&mut self, source: &mut Source<'_>, log: &CoValueLog, tx_ref: TxRef) -> Option<Prepared> {
        let transaction = log.transaction(tx_ref);
        let session = log.session_id(tx_ref);
        let at = transaction.made_at();
        self.latest = self.latest.max(at);
        if at > source.until {
            return None;
        }
        let (role, restricted) = match log.header().ruleset() {
            Ruleset::UnsafeAllowAll => (Role::Admin, false),
            Ruleset::OwnedByGroup {
                group,
                restrict_deletion,
            } => {
                let role = source.groups.role_at(group, session.author().as_str(), at)?;
                (role, *restrict_deletion == Some(true))
            }
            Ruleset::Group { .. } => return None,
        };
        if !role.can_write() {
            return None;
        }
        let (changes, meta) = match source.open(log, tx_ref) {
            Ok(clear) => clear,
            Err(Closed::NoKey) => {
                self.waits_for_key = true;
                return None;
            }
            Err(Closed::Garbage) => return None,
        };
        if restricted && !role.can_manage() && changes.iter().any(|change| change["op"] == "del") {
            return None;
        }
        let first_writer = meta
            .as_ref()
            .and_then(|meta| meta.get("fww")?.as_str())
            .map(str::to_owned);
        let order = Order {
            at,
            session: session.clone(),
            index: tx_ref.index,
        };
        Some(Prepared {
            order,
            changes,
            first_writer,
        })
    }
}

/// Why a transaction can't be read.
pub(crate) enum Closed {
    /// Its key is out of reach, for now.
    NoKey,
    /// It holds nothing that can be understood.
    Garbage,
}

impl Source<'_> {
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

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn parse_changes(text: &str) -> Option<Vec<Value>> {
    serde_json::from_str(text).ok()
}
