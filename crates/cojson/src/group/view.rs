//! The state of one group: its transactions in order, and the history of each key that the valid ones make.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::role::{EVERYONE, Grant, Mapping};
use crate::header::{Header, Kind, Ruleset};
use crate::ids::{Author, CoId, KeyId, SessionId};
use crate::secrets::KeySecret;
use crate::transaction::Timestamp;

/// A group or an account as its valid transactions make it.
#[derive(Debug)]
pub struct GroupView {
    pub(super) id: CoId,
    pub(super) kind: Kind,
    pub(super) initial_admin: Author,
    /// How much of the log's arrivals has been taken into `queue`.
    pub(super) cursor: usize,
    /// All transactions in their order.
    pub(super) queue: Vec<GroupTx>,
    /// How many of `queue` have been evaluated; what follows is derived from them.
    pub(super) evaluated: usize,
    /// Up to when this group and everything it inherits from has been evaluated, in the present refresh.
    pub(super) settled: Option<Timestamp>,
    /// [`Values::group_changes`](crate::values::Values) when the last refresh of this group ended.
    pub(super) refreshed_at: Option<u64>,
    /// Whether a transaction is just being judged.
    pub(super) is_busy: bool,
    /// Valid transactions by key, in order, as positions in `queue`.
    pub(super) fields: BTreeMap<Arc<str>, Vec<u32>>,
    /// Groups that a valid transaction has named as a parent at some time, with the key that says so.
    pub(super) parents: Vec<(CoId, Arc<str>)>,
    /// Groups whose state this one depends on, with the version of them it has seen.
    pub(super) watched: IndexMap<CoId, usize>,
    /// The time and session of the latest valid transaction.
    pub(super) latest: Option<(Timestamp, SessionId)>,
    /// Which keys each key's secret is encrypted with.
    pub(super) encrypted_by: HashMap<KeyId, Vec<KeyId>>,
    /// Keys that already mean something here.
    pub(super) keys_in_use: HashSet<Arc<str>>,
    /// Members that an invite made, with the invite.
    pub(super) invited: HashMap<Arc<str>, Author>,
    /// The version of the empty state.
    pub(super) first_version: usize,
    /// One entry per later version: the earliest time from which answers may differ from the version before.
    pub(super) changes: Vec<Timestamp>,
    /// Secrets found so far.
    pub(super) secrets: HashMap<KeyId, KeySecret>,
}

/// One transaction of a group, parsed.
#[derive(Debug)]
pub(super) struct GroupTx {
    pub at: Timestamp,
    pub session: SessionId,
    pub index: u32,
    /// The one key it sets; `None` if it can't be valid whoever made it.
    pub set: Option<(Arc<str>, Value)>,
}

impl GroupTx {
    pub fn order(&self) -> (Timestamp, &SessionId, u32) {
        (self.at, &self.session, self.index)
    }
}

/// The value of a key, and the transaction that set it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The value.
    pub value: &'a Value,
    /// When it was set, as its author says.
    pub at: Timestamp,
    /// Where it was set.
    pub session: &'a SessionId,
    /// Where it was set.
    pub index: usize,
}

impl GroupView {
    pub(super) fn new(header: &Header, first_version: usize) -> Option<Self> {
        let Ruleset::Group { initial_admin } = header.ruleset() else {
            return None;
        };
        Some(Self {
            id: header.id().clone(),
            kind: header.kind(),
            initial_admin: initial_admin.clone(),
            cursor: 0,
            queue: Vec::new(),
            evaluated: 0,
            settled: None,
            refreshed_at: None,
            is_busy: false,
            fields: BTreeMap::new(),
            parents: Vec::new(),
            latest: None,
            watched: IndexMap::new(),
            encrypted_by: HashMap::new(),
            keys_in_use: HashSet::new(),
            invited: HashMap::new(),
            first_version,
            changes: Vec::new(),
            secrets: HashMap::new(),
        })
    }

    /// Forgets everything derived, to evaluate all transactions again.
    pub(super) fn reset(&mut self) {
        self.evaluated = 0;
        self.fields.clear();
        self.parents.clear();
        self.latest = None;
        self.encrypted_by.clear();
        self.keys_in_use.clear();
        self.invited.clear();
        self.secrets.clear();
    }

    /// The group's id.
    pub fn id(&self) -> &CoId {
        &self.id
    }

    /// Whether this is an account.
    pub fn is_account(&self) -> bool {
        self.kind == Kind::Account
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key, Timestamp::MAX).map(|entry| entry.value)
    }

    /// The value that a key had at a time.
    pub fn get_at(&self, key: &str, at: Timestamp) -> Option<&Value> {
        self.entry(key, at).map(|entry| entry.value)
    }

    /// The value of a key, as text.
    pub fn get_text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Who set a key's value and when.
    pub fn edit(&self, key: &str) -> Option<crate::content::Edit> {
        let entry = self.entry(key, Timestamp::MAX)?;
        Some(crate::content::Edit {
            by: entry.session.author().clone(),
            at: entry.at,
        })
    }

    /// Every key with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields
            .keys()
            .filter_map(|key| Some((&**key, self.get(key)?)))
    }

    /// What the group itself gives to `member` (an account, an agent, or `everyone`), without its parents.
    pub fn direct_grant(&self, member: &str) -> Option<Grant> {
        self.direct_grant_at(member, Timestamp::MAX)
    }

    /// All accounts, agents and invites that are members now, with what they were given. Not `everyone`.
    pub fn members(&self) -> impl Iterator<Item = (Author, Grant)> {
        self.members_at(Timestamp::MAX)
    }

    /// All that were members at a time.
    pub fn members_at(&self, at: Timestamp) -> impl Iterator<Item = (Author, Grant)> {
        let member = move |key: &Arc<str>| {
            let author: Author = key.parse().ok()?;
            self.direct_grant_at(key, at)
                .filter(|grant| *grant != Grant::Revoked)
                .map(|grant| (author, grant))
        };
        self.fields.keys().filter_map(member)
    }

    /// The groups whose members are members here too, now.
    pub fn parents(&self) -> impl Iterator<Item = (&CoId, Mapping)> {
        self.parents_at(Timestamp::MAX)
    }

    /// The key that new private content is encrypted with.
    pub fn read_key(&self) -> Option<KeyId> {
        self.get_text("readKey")?.parse().ok()
    }

    /// Counts every change of the state; equal versions mean equal answers.
    pub fn version(&self) -> usize {
        self.first_version + self.changes.len()
    }

    /// The earliest time from which answers may differ from those of `version`.
    pub(crate) fn changed_since(&self, version: usize) -> Option<Timestamp> {
        match version.checked_sub(self.first_version) {
            Some(seen) => self.changes.get(seen..)?.iter().min().copied(),
            // Seen before the state was forgotten and built anew.
            None => Some(Timestamp::default()),
        }
    }

    /// The time and session of the latest valid transaction.
    pub(crate) fn latest(&self) -> Option<(Timestamp, SessionId)> {
        self.latest.clone()
    }

    /// The groups whose state decides about this one's.
    pub(crate) fn depends_on(&self) -> impl Iterator<Item = &CoId> {
        self.watched.keys()
    }

    /// Whether everybody can read.
    pub(crate) fn everyone_reads(&self) -> bool {
        self.direct_grant(EVERYONE).is_some_and(Grant::can_read)
    }

    pub(super) fn direct_grant_at(&self, member: &str, at: Timestamp) -> Option<Grant> {
        self.entry(member, at)?.value.as_str()?.parse().ok()
    }

    pub(super) fn parents_at(&self, at: Timestamp) -> impl Iterator<Item = (&CoId, Mapping)> {
        self.parents.iter().filter_map(move |(parent, key)| {
            let mapping = self.entry(key, at)?.value.as_str()?.parse().ok()?;
            Some((parent, mapping))
        })
    }

    /// The latest value of a key among the transactions up to a time.
    pub(crate) fn entry(&self, key: &str, at: Timestamp) -> Option<Entry<'_>> {
        let history = self.fields.get(key)?;
        let count = history.partition_point(|position| self.queue[*position as usize].at <= at);
        history[..count]
            .last()
            .and_then(|position| self.entry_at(*position))
    }

    /// Every value a key has had, newest first.
    pub(super) fn history(&self, key: &str) -> impl Iterator<Item = Entry<'_>> + use<'_> {
        let positions = self.fields.get(key).into_iter().flatten().rev();
        positions.filter_map(|position| self.entry_at(*position))
    }

    fn entry_at(&self, position: u32) -> Option<Entry<'_>> {
        let tx = &self.queue[position as usize];
        let (_, value) = tx.set.as_ref()?;
        Some(Entry {
            value,
            at: tx.at,
            session: &tx.session,
            index: tx.index as usize,
        })
    }

    /// All keys that begin with `prefix`, with the rest of the key and the value.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let from = self
            .fields
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map_while(move |(key, _)| key.strip_prefix(prefix).map(|rest| (rest, &**key)))
            .filter_map(|(rest, key)| Some((rest, self.get(key)?)))
    }
}
