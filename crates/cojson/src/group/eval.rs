//! Decides which transactions of groups are valid (protocol, 6.4), and answers who has which role when (6.3).
//!
//! Transactions count in the order of their claimed time; equal times are ordered by session id, then by index.
//! Parents are evaluated in step with their children: a transaction made at time t sees every other group as of t. So
//! groups whose parents lead back to themselves have a defined state, whichever is asked for first: of the transactions
//! that would close a cycle, the later ones are invalid. (Which one is, if both are from the same millisecond, depends
//! on who is asked first; it takes admins of all groups in the cycle to bring that about.)
//!
//! Stricter than the reference, where only abuse can tell: an invite gives its role only to who has less and hands
//! keys only to those it made members (14.4); nobody takes a key that is in use as their own write key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::role::{EVERYONE, Grant, Mapping, Role, raise, raise_author};
use super::view::{GroupTx, GroupView};
use crate::header::Kind;
use crate::ids::{Author, CoId, KeyId};
use crate::log::CoValueLog;
use crate::transaction::{Timestamp, Transaction};
use crate::values::Values;

/// Longest chain of parents that roles are inherited along.
const MAX_PARENT_DEPTH: usize = 32;

/// The state of all groups that have been asked for, brought up to date by [`Groups::refresh`].
#[derive(Debug, Default)]
pub struct Groups {
    pub(super) views: HashMap<CoId, GroupView>,
    /// Higher than any version of a state that was forgotten.
    first_version: usize,
}

impl Groups {
    /// The state of a group as of the last refresh.
    pub fn get(&self, id: &CoId) -> Option<&GroupView> {
        self.views.get(id)
    }

    /// All states.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &GroupView> {
        self.views.values()
    }

    /// Forgets the state of a group; it is built anew when it is asked for again.
    pub(crate) fn forget(&mut self, id: &CoId) {
        if let Some(view) = self.views.remove(id) {
            self.first_version = self.first_version.max(view.version() + 1);
        }
    }

    /// Forgets secrets that were found with somebody else's.
    pub(crate) fn forget_secrets(&mut self, id: &CoId) {
        let mut pending = vec![id.clone()];
        let mut met = HashSet::new();
        while let Some(id) = pending.pop() {
            let Some(view) = self.views.get_mut(&id).filter(|_| met.insert(id)) else {
                continue;
            };
            view.secrets.clear();
            pending.extend(view.watched.keys().cloned());
        }
    }

    /// Brings a group and everything it inherits from up to the logs. `None` if it isn't here or is no group.
    pub fn refresh(&mut self, values: &Values, id: &CoId) -> Option<&GroupView> {
        let now = Some(values.group_changes());
        // As nearly always: every read and every write asks, and groups change rarely.
        if self.views.get(id).is_some_and(|view| view.refreshed_at == now) {
            return self.views.get(id);
        }
        loop {
            let (closure, met) = self.refresh_known(values, id);
            // A transaction that didn't count before may now name a parent that nobody looked at.
            let watched = closure.iter().flat_map(|id| self.views[id].watched.keys());
            if watched.into_iter().all(|parent| met.contains(parent)) {
                let view = self.views.get_mut(id)?;
                view.refreshed_at = now;
                return Some(view);
            }
        }
    }

    /// Refreshes a group with all parents known before. Returns these, and what was found to be no group here.
    fn refresh_known(&mut self, values: &Values, id: &CoId) -> (Vec<CoId>, HashSet<CoId>) {
        let mut ingested = HashMap::new();
        let (closure, met) = self.collect(values, id, &mut ingested);
        self.propagate(&closure, ingested);
        for id in &closure {
            self.advance(values, id, Timestamp::MAX, 0);
        }
        for id in &closure {
            let version = |parent: &CoId| self.views.get(parent).map_or(0, GroupView::version);
            let watched = self.views[id]
                .watched
                .keys()
                .filter(|parent| met.contains(*parent));
            let seen: Vec<(CoId, usize)> = watched.map(|parent| (parent.clone(), version(parent))).collect();
            let view = self.views.get_mut(id).expect("part of the closure");
            view.watched.extend(seen);
        }
        (closure, met)
    }

    /// Takes in what is new in the logs of a group and of all groups it may depend on.
    fn collect(
        &mut self,
        values: &Values,
        id: &CoId,
        ingested: &mut HashMap<CoId, Timestamp>,
    ) -> (Vec<CoId>, HashSet<CoId>) {
        let mut closure = Vec::new();
        let mut pending = vec![id.clone()];
        let mut met = HashSet::new();
        while let Some(id) = pending.pop() {
            if !met.insert(id.clone()) {
                continue;
            }
            let Some(log) = values.get(&id) else {
                continue;
            };
            if !self.views.contains_key(&id) {
                let Some(view) = GroupView::new(log.header(), self.first_version) else {
                    continue;
                };
                self.views.insert(id.clone(), view);
            }
            let view = self.views.get_mut(&id).expect("inserted above");
            view.settled = None;
            let (earliest, declared) = ingest(view, log);
            if let Some(earliest) = earliest {
                ingested.insert(id.clone(), earliest);
            }
            pending.extend(declared);
            pending.extend(view.watched.keys().cloned());
            closure.push(id);
        }
        (closure, met)
    }

    /// Carries what changed in parents down to their children, and resets what was evaluated past a change.
    fn propagate(&mut self, closure: &[CoId], ingested: HashMap<CoId, Timestamp>) {
        let mut affected: HashMap<&CoId, Timestamp> = HashMap::new();
        for id in closure {
            let parents = self.views[id].watched.iter();
            let changed = parents.filter_map(|(parent, seen)| self.views.get(parent)?.changed_since(*seen));
            if let Some(earliest) = changed.min() {
                affected.insert(id, earliest);
            }
        }
        loop {
            let mut settled = true;
            for id in closure {
                // Inherited from parents that are about to change in this very refresh.
                let parents = self.views[id].watched.keys();
                let upcoming =
                    parents.filter_map(|p| affected.get(p).into_iter().chain(ingested.get(p)).min());
                let Some(earliest) = upcoming.min().copied() else {
                    continue;
                };
                if affected.get(id).is_none_or(|known| *known > earliest) {
                    affected.insert(id, earliest);
                    settled = false;
                }
            }
            if settled {
                break;
            }
        }
        let affected: Vec<(CoId, Timestamp)> =
            affected.into_iter().map(|(id, at)| (id.clone(), at)).collect();
        for (id, earliest) in affected {
            let view = self.views.get_mut(&id).expect("part of the closure");
            view.changes.push(earliest);
            if view.last_evaluated().is_some_and(|last| last >= earliest) {
                view.reset();
            }
            view.secrets.clear();
        }
    }

    /// Evaluates a group and everything it inherits from up to a time.
    fn advance(&mut self, values: &Values, id: &CoId, until: Timestamp, depth: usize) {
        let Some(view) = self.views.get_mut(id).filter(|_| depth < MAX_PARENT_DEPTH) else {
            return;
        };
        // Who is asked while being evaluated answers by what came before.
        if view.is_busy || view.settled.is_some_and(|settled| settled >= until) {
            return;
        }
        view.is_busy = true;
        while self.evaluate_next(values, id, until, depth) {}
        let view = self.views.get_mut(id).expect("being evaluated");
        view.is_busy = false;
        view.settled = Some(until);
        self.advance_parents(values, id, until, depth);
    }

    fn advance_parents(&mut self, values: &Values, id: &CoId, until: Timestamp, depth: usize) {
        let view = &self.views[id];
        if view.parents.is_empty() {
            return;
        }
        let parents: Vec<CoId> = view.parents_at(until).map(|(parent, _)| parent.clone()).collect();
        for parent in parents {
            self.advance(values, &parent, until, depth + 1);
        }
    }

    /// Judges the next transaction, unless it was made after `until`.
    fn evaluate_next(&mut self, values: &Values, id: &CoId, until: Timestamp, depth: usize) -> bool {
        let view = self.views.get_mut(id).expect("being evaluated");
        let position = view.evaluated;
        let Some(tx) = view.queue.get(position).filter(|tx| tx.at <= until) else {
            return false;
        };
        view.evaluated += 1;
        let (at, author) = (tx.at, tx.session.author().clone());
        let Some((key, value)) = tx.set.clone() else {
            return true;
        };
        self.advance_parents(values, id, at, depth);
        let role = self.author_role(id, author.as_str(), at);
        if let Some(parent) = parent_of(&key)
            && role.is_some_and(can_manage)
        {
            self.advance(values, &parent, at, depth + 1);
            self.watch(id, parent);
        }
        if self.is_valid(values, id, &author, role, &key, &value, at) {
            self.apply(id, position, &author, role, key, &value);
        }
        true
    }

    fn watch(&mut self, id: &CoId, parent: CoId) {
        let version = self.views.get(&parent).map_or(0, GroupView::version);
        let view = self.views.get_mut(id).expect("being evaluated");
        view.watched.entry(parent).or_insert(version);
    }

    fn apply(
        &mut self,
        id: &CoId,
        position: usize,
        author: &Author,
        role: Option<Grant>,
        key: Arc<str>,
        value: &Value,
    ) {
        let view = self.views.get_mut(id).expect("being evaluated");
        let tx = &view.queue[position];
        view.latest = Some((tx.at, tx.session.clone()));
        view.changes.push(tx.at);
        if let Some(parent) = parent_of(&key)
            && !view.parents.iter().any(|(known, _)| *known == parent)
        {
            view.parents.push((parent, key.clone()));
        }
        if let Some((revealed, to)) = reveal_parts(&key) {
            view.keys_in_use.insert(revealed.into());
            if let (Ok(revealed), Ok(by)) = (revealed.parse::<KeyId>(), to.parse::<KeyId>()) {
                let by_keys = view.encrypted_by.entry(revealed).or_default();
                if !by_keys.contains(&by) {
                    by_keys.push(by);
                }
            }
        } else if let (true, Some(used)) = (&*key == "readKey" || key.starts_with(WRITE_KEY), value.as_str())
        {
            view.keys_in_use.insert(used.into());
        } else if let Some(Grant::Invite(_)) = role
            && *key != *author.as_str()
        {
            view.invited.insert(key.clone(), author.clone());
        }
        let position = u32::try_from(position).expect("a log has fewer transactions");
        view.fields.entry(key).or_default().push(position);
    }

    /// What `member` may do in the group at a time: its own role, raised by its parents', or else everybody's.
    pub fn role_at(&self, group: &CoId, member: &str, at: Timestamp) -> Option<Role> {
        let mut query = RoleQuery {
            groups: self,
            member,
            at,
            met: HashMap::new(),
        };
        query.role_in(group, 0)
    }

    /// The role that decides about a transaction: the latest so far, raised by the parents so far, without `everyone`.
    pub(crate) fn author_role(&self, group: &CoId, member: &str, at: Timestamp) -> Option<Grant> {
        let view = self.views.get(group)?;
        let mut role = view.direct_grant(member).filter(|grant| *grant != Grant::Revoked);
        let mut query = RoleQuery {
            groups: self,
            member,
            at,
            met: HashMap::new(),
        };
        for (parent, mapping) in view.parents() {
            let inherited = query.role_in(parent, 1);
            if let Some(inherited) = inherited.and_then(|role| mapping.apply(role)) {
                role = raise_author(role, inherited);
            }
        }
        role
    }

    /// Whether `author` may set `key` to `value` now: what a node asks before it writes.
    pub(crate) fn may_set(
        &self,
        values: &Values,
        id: &CoId,
        author: &Author,
        key: &str,
        value: &Value,
        at: Timestamp,
    ) -> bool {
        let role = self.author_role(id, author.as_str(), at);
        self.is_valid(values, id, author, role, key, value, at)
    }

    /// The rules of 6.4 for a transaction that sets one key; the first that matches decides.
    #[allow(clippy::too_many_arguments)] // the parts of one transaction, taken apart by its callers
    fn is_valid(
        &self,
        values: &Values,
        id: &CoId,
        author: &Author,
        role: Option<Grant>,
        key: &str,
        value: &Value,
        at: Timestamp,
    ) -> bool {
        let Some(view) = self.views.get(id) else {
            return false;
        };
        let manages = role.is_some_and(can_manage);
        if matches!(key, "readKey" | "groupSealer" | "profile" | "root") {
            return manages;
        }
        if is_reveal(key) {
            return manages || view.may_reveal(author, role, key);
        }
        if key.starts_with("parent_") {
            let parent = parent_of(key).filter(|parent| {
                let is_account = values
                    .get(parent)
                    .is_some_and(|log| log.header().kind() == Kind::Account);
                !is_account && !self.reaches(parent, id, at)
            });
            return manages && parent.is_some();
        }
        if key.starts_with("child_") {
            return false;
        }
        if let Some(member) = key.strip_prefix(WRITE_KEY) {
            return manages || view.may_set_write_key(author, role, member, value);
        }
        let Some(grant) = value.as_str().and_then(|text| text.parse::<Grant>().ok()) else {
            return false;
        };
        if key == EVERYONE
            && matches!(
                grant,
                Grant::Invite(_) | Grant::Member(Role::Admin | Role::Manager)
            )
        {
            return false;
        }
        let is_author = key == author.as_str();
        let is_first = role.is_none() && is_author && *author == view.initial_admin;
        if is_first && grant == Grant::Member(Role::Admin) || is_author && grant == Grant::Revoked {
            return true;
        }
        let is_admin = || self.author_role(id, key, at) == Some(Grant::Member(Role::Admin));
        match role {
            Some(Grant::Member(Role::Admin)) => {
                is_author || grant == Grant::Member(Role::Admin) || !is_admin()
            }
            Some(Grant::Member(Role::Manager)) => {
                let too_high = matches!(
                    grant,
                    Grant::Member(Role::Admin) | Grant::Invite(Role::Admin | Role::Manager)
                );
                !too_high && !is_admin()
            }
            Some(Grant::Invite(role)) => {
                let is_lower = match view.direct_grant(key) {
                    None | Some(Grant::Revoked) => true,
                    Some(Grant::Member(present)) => present.rank() < role.rank(),
                    Some(Grant::Invite(_)) => false,
                };
                grant == Grant::Member(role) && key != EVERYONE && is_lower
            }
            _ => false,
        }
    }

    /// Whether the parents of `from` lead to `to`, at a time.
    pub(crate) fn reaches(&self, from: &CoId, to: &CoId, at: Timestamp) -> bool {
        let mut pending = vec![from];
        let mut met = HashSet::new();
        while let Some(id) = pending.pop() {
            if id == to {
                return true;
            }
            if let Some(view) = self.views.get(id).filter(|_| met.insert(id)) {
                pending.extend(view.parents_at(at).map(|(parent, _)| parent));
            }
        }
        false
    }
}

/// Looks for one member's role at one time, in each group once.
struct RoleQuery<'a> {
    groups: &'a Groups,
    member: &'a str,
    at: Timestamp,
    /// Groups whose answer is known or, `None`, being looked for.
    met: HashMap<&'a CoId, Option<Role>>,
}

impl<'a> RoleQuery<'a> {
    fn role_in(&mut self, group: &CoId, depth: usize) -> Option<Role> {
        let groups = self.groups;
        let view = groups.views.get(group).filter(|_| depth < MAX_PARENT_DEPTH)?;
        if view.is_account() {
            // An account is its own admin, by the agent that it names as long as that isn't revoked.
            let direct = || view.direct_grant_at(self.member, self.at).and_then(Grant::role);
            return if self.member == group.as_str() {
                Some(Role::Admin)
            } else {
                direct()
            };
        }
        if view.parents.is_empty() {
            return self.without_parents(view);
        }
        if let Some(role) = self.met.get(group) {
            return *role;
        }
        self.met.insert(&view.id, None);
        let mut role = view.direct_grant_at(self.member, self.at).and_then(Grant::role);
        for (parent, mapping) in view.parents_at(self.at) {
            let inherited = self.role_in(parent, depth + 1);
            if let Some(inherited) = inherited.and_then(|role| mapping.apply(role)) {
                role = raise(role, inherited);
            }
        }
        let role = role.or_else(|| self.without_parents(view));
        self.met.insert(&view.id, role);
        role
    }

    fn without_parents(&self, view: &GroupView) -> Option<Role> {
        match view.direct_grant_at(self.member, self.at) {
            Some(Grant::Member(role)) => Some(role),
            Some(Grant::Invite(_)) => None,
            Some(Grant::Revoked) | None if self.member == EVERYONE => None,
            Some(Grant::Revoked) | None => view.direct_grant_at(EVERYONE, self.at).and_then(Grant::role),
        }
    }
}

pub(crate) const WRITE_KEY: &str = "writeKeyFor_";

impl GroupView {
    fn last_evaluated(&self) -> Option<Timestamp> {
        self.evaluated.checked_sub(1).map(|last| self.queue[last].at)
    }

    /// The key that `member` writes with if it may only write.
    pub(crate) fn write_key(&self, member: &str) -> Option<KeyId> {
        self.get_text(&format!("{WRITE_KEY}{member}"))?.parse().ok()
    }

    /// Whether an author who doesn't manage the group may hand out a key: an invite to whom it made a member, its own
    /// members' write keys to anybody, and everyone their own write key.
    fn may_reveal(&self, author: &Author, role: Option<Grant>, key: &str) -> bool {
        let Some((revealed, to)) = reveal_parts(key) else {
            return false;
        };
        let is_write_key_of = |member: &str| self.get_text(&format!("{WRITE_KEY}{member}")) == Some(revealed);
        if is_write_key_of(author.as_str()) {
            return true;
        }
        if !matches!(role, Some(Grant::Invite(_))) || to == EVERYONE {
            return false;
        }
        let invited_here = |member: &str| self.invited.get(member) == Some(author);
        invited_here(to)
            || self
                .invited
                .keys()
                .any(|member| invited_here(member) && is_write_key_of(member))
    }

    /// Whether an author who doesn't manage the group may give `member` a write key: only a first and fresh one.
    fn may_set_write_key(&self, author: &Author, role: Option<Grant>, member: &str, value: &Value) -> bool {
        let is_own = member == author.as_str();
        let is_invite = matches!(role, Some(Grant::Invite(Role::WriteOnly)));
        let is_fresh = value.as_str().is_some_and(|key| !self.keys_in_use.contains(key));
        let is_first = !self.fields.contains_key(&*format!("{WRITE_KEY}{member}"));
        (is_own || is_invite) && is_first && is_fresh
    }
}

/// Takes what is new in a log into the queue. Returns the earliest time among it, and the parents it names.
fn ingest(view: &mut GroupView, log: &CoValueLog) -> (Option<Timestamp>, Vec<CoId>) {
    let mut earliest = None;
    let mut declared = Vec::new();
    for tx_ref in &log.arrivals()[view.cursor..] {
        let transaction = log.transaction(*tx_ref);
        let at = transaction.made_at();
        let set = parse_set(transaction);
        declared.extend(set.as_ref().and_then(|(key, _)| parent_of(key)));
        let tx = GroupTx {
            at,
            session: log.session_id(*tx_ref).clone(),
            index: tx_ref.index,
            set,
        };
        let position = view.queue.partition_point(|other| other.order() < tx.order());
        if position < view.evaluated {
            // What was evaluated is no longer a prefix of the order.
            view.reset();
            view.changes.push(at);
        }
        view.queue.insert(position, tx);
        earliest = earliest.min(Some(at)).or(Some(at));
    }
    view.cursor = log.arrivals().len();
    (earliest, declared)
}

/// The one key that a transaction sets, if it is of the form that groups allow.
fn parse_set(transaction: &Transaction) -> Option<(Arc<str>, Value)> {
    let Transaction::Trusting(tx) = transaction else {
        return None;
    };
    let Value::Array(changes) = serde_json::from_str(&tx.changes).ok()? else {
        return None;
    };
    let [change] = <[Value; 1]>::try_from(changes).ok()?;
    let Value::Object(mut change) = change else {
        return None;
    };
    if change.get("op")? != "set" {
        return None;
    }
    let key = change.get("key")?.as_str()?.into();
    Some((key, change.swap_remove("value").unwrap_or_default()))
}

fn can_manage(grant: Grant) -> bool {
    matches!(grant, Grant::Member(role) if role.can_manage())
}

fn parent_of(key: &str) -> Option<CoId> {
    key.strip_prefix("parent_")?.parse().ok()
}

/// Whether a key hands out a key's secret.
fn is_reveal(key: &str) -> bool {
    let to = ["_for_key", "_for_sealer", "_for_co", "_sealedFor_sealer"];
    key.starts_with("key_") && to.iter().any(|to| key.contains(to)) || key.contains("_for_everyone")
}

/// The key that is handed out, and to whom.
fn reveal_parts(key: &str) -> Option<(&str, &str)> {
    if !is_reveal(key) {
        return None;
    }
    key.split_once("_for_").or_else(|| key.split_once("_sealedFor_"))
}

impl Mapping {
    /// The value of a parent's key that means: no parent any more.
    pub(crate) const REVOKED: &'static str = "revoked";
}
