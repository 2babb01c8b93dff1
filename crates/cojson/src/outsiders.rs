//! Who has no part in a group, and how much of theirs is kept.
//!
//! What an account without a role writes doesn't count, and is stored and passed on all the same: its role may only not
//! have arrived yet. So that nobody can fill the stores of others this way, there is a bound on it per value. Who counts as
//! an outsider is decided generously, by names and without regard to time, so that it never hits a member: an insider is
//! whoever made the group or one of its parents, and whoever was ever named there by an insider.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::header::{Kind, Ruleset};
use crate::ids::{Author, CoId};
use crate::limits::{MAX_OUTSIDER_BYTES, MAX_OUTSIDER_SESSIONS};
use crate::log::CoValueLog;
use crate::transaction::Transaction;
use crate::values::Values;

/// The insiders of groups that were asked for, as of the logs they were found in.
#[derive(Debug, Default)]
pub(crate) struct Insiders(HashMap<CoId, Found>);

#[derive(Debug)]
struct Found {
    /// The groups that were looked into, each with the length of its log.
    looked_into: Vec<(CoId, usize)>,
    members: Members,
}

#[derive(Debug)]
enum Members {
    /// Everybody may write, or a parent isn't here.
    Anybody,
    These(HashSet<String>),
}

impl Members {
    fn contains(&self, author: &Author) -> bool {
        match self {
            Self::Anybody => true,
            Self::These(members) => members.contains(author.as_str()),
        }
    }
}

impl Insiders {
    /// Whether so much more of an author is too much for a value.
    pub fn exceeded(&mut self, values: &Values, log: &CoValueLog, author: &Author, bytes: usize) -> bool {
        let has_room = |bytes, sessions| bytes <= MAX_OUTSIDER_BYTES && sessions < MAX_OUTSIDER_SESSIONS;
        if has_room(log.bytes() + bytes, log.sessions().len()) {
            return false;
        }
        let group = match log.header().ruleset() {
            Ruleset::OwnedByGroup { group, .. } => group,
            Ruleset::Group { .. } => log.id(),
            Ruleset::UnsafeAllowAll => return false,
        };
        let members = self.of(values, group);
        if members.contains(author) {
            return false;
        }
        let sessions = log.sessions().iter();
        let outside = sessions.filter(|(session, _)| !members.contains(session.author()));
        let (stored, count) = outside.fold((0, 0), |(stored, count), (_, session)| {
            (stored + session.bytes(), count + 1)
        });
        !has_room(stored + bytes, count)
    }

    fn of(&mut self, values: &Values, group: &CoId) -> &Members {
        let len = |id: &CoId| values.get(id).map_or(0, |log| log.arrivals().len());
        let is_current = |found: &Found| found.looked_into.iter().all(|(id, known)| len(id) == *known);
        if !self.0.get(group).is_some_and(is_current) {
            self.0.insert(group.clone(), find(values, group));
        }
        &self.0[group].members
    }

    /// Forgets what was found for a group that leaves memory.
    pub fn forget(&mut self, group: &CoId) {
        self.0.remove(group);
    }
}

/// Follows the names, from those who made the group and its parents.
fn find(values: &Values, group: &CoId) -> Found {
    let mut looked_into = Vec::new();
    let mut names: HashMap<String, Vec<String>> = HashMap::new();
    let (mut members, mut pending) = (HashSet::new(), Vec::new());
    let mut groups = vec![group.clone()];
    loop {
        while let Some(id) = groups.pop() {
            if looked_into.iter().any(|(known, _)| *known == id) {
                continue;
            }
            let Some(log) = values.get(&id) else {
                looked_into.push((id, 0));
                return Found {
                    looked_into,
                    members: Members::Anybody,
                };
            };
            looked_into.push((id, log.arrivals().len()));
            pending.extend(makers(log));
            for (author, name) in named(log) {
                if members.contains(&author) {
                    pending.push(name.clone());
                }
                names.entry(author).or_default().push(name);
            }
        }
        let Some(name) = pending.pop() else { break };
        if name == EVERYONE_WRITES {
            return Found {
                looked_into,
                members: Members::Anybody,
            };
        }
        if let Some(parent) = name.strip_prefix("parent_") {
            groups.extend(parent.parse::<CoId>());
        } else if members.insert(name.clone()) {
            pending.extend(names.get(&name).into_iter().flatten().cloned());
        }
    }
    Found {
        looked_into,
        members: Members::These(members),
    }
}

const EVERYONE_WRITES: &str = "everyone";

fn makers(log: &CoValueLog) -> Vec<String> {
    let mut makers = Vec::new();
    if let Ruleset::Group { initial_admin } = log.header().ruleset() {
        makers.push(initial_admin.to_string());
    }
    if log.header().kind() == Kind::Account {
        // Its own values know an account by its id.
        makers.push(log.id().to_string());
    }
    makers
}

/// Every key that a group's transactions set, with who set it; `everyone` only if they may write.
fn named(log: &CoValueLog) -> impl Iterator<Item = (String, String)> {
    log.sessions().iter().flat_map(|(session, content)| {
        let author = session.author().to_string();
        let keys = content.transactions().iter().filter_map(name);
        keys.map(move |name| (author.clone(), name))
    })
}

fn name(transaction: &Transaction) -> Option<String> {
    let Transaction::Trusting(tx) = transaction else {
        return None;
    };
    // Most changes of a group hand out keys and name nobody.
    let may_name = ["\"co_z", "\"sealer_z", "\"parent_", "\"everyone\""];
    if !may_name.iter().any(|text| tx.changes.contains(text)) {
        return None;
    }
    let changes: Value = serde_json::from_str(&tx.changes).ok()?;
    let change = changes.get(0)?;
    let key = change.get("key")?.as_str()?;
    let is_reading = key == EVERYONE_WRITES
        && !matches!(
            change.get("value").and_then(Value::as_str),
            Some("writer" | "writeOnly")
        );
    (!is_reading).then(|| key.to_owned())
}
