//! The rules of groups as a table: everything that was ever signed is gone through once, in the order of its time.
//! Only what the simulation does is modelled: roles, `everyone` and parents; no invites.

use std::collections::{BTreeMap, BTreeSet};

use cojson::Node;
use cojson::header::Kind;
use cojson::ids::{CoId, SessionId};
use cojson::transaction::{Timestamp, Transaction};
use serde_json::Value;

/// A key of a group with the valid values it had, oldest first.
type History = Vec<(Timestamp, String)>;

#[derive(Default)]
pub struct Model {
    groups: BTreeMap<CoId, BTreeMap<String, History>>,
}

/// One change of a group.
struct Claim {
    at: Timestamp,
    session: SessionId,
    index: usize,
    group: CoId,
    key: String,
    value: String,
}

impl Model {
    /// Reads all groups that `node` holds.
    pub fn of(node: &Node) -> Self {
        let mut claims: Vec<Claim> = Vec::new();
        let mut model = Self::default();
        for log in node
            .values()
            .iter()
            .filter(|log| log.header().kind() == Kind::Group)
        {
            model.groups.insert(log.id().clone(), BTreeMap::new());
            for (session, content) in log.sessions() {
                let changes = content.transactions().iter().enumerate().map(|(index, tx)| {
                    let (key, value) = single_set(tx)?;
                    Some(Claim {
                        at: tx.made_at(),
                        session: session.clone(),
                        index,
                        group: log.id().clone(),
                        key,
                        value,
                    })
                });
                claims.extend(changes.flatten());
            }
        }
        claims.sort_by(|a, b| (a.at, &a.session, a.index).cmp(&(b.at, &b.session, b.index)));
        for claim in claims {
            if model.is_valid(node, &claim) {
                let group = model.groups.get_mut(&claim.group).unwrap();
                group.entry(claim.key).or_default().push((claim.at, claim.value));
            }
        }
        model
    }

    fn value(&self, group: &CoId, key: &str, at: Timestamp) -> Option<&str> {
        let history = self.groups.get(group)?.get(key)?;
        let latest = history.iter().rev().find(|(made, _)| *made <= at)?;
        (latest.1 != "revoked").then_some(&*latest.1)
    }

    fn parents(&self, group: &CoId, at: Timestamp) -> Vec<(CoId, &str)> {
        let keys = self.groups.get(group).into_iter().flat_map(BTreeMap::keys);
        let parents = keys.filter_map(|key| {
            let parent = key.strip_prefix("parent_")?.parse().ok()?;
            Some((parent, self.value(group, key, at)?))
        });
        parents.collect()
    }

    fn inherited(&self, group: &CoId, member: &str, at: Timestamp) -> Vec<String> {
        let parents = self.parents(group, at).into_iter();
        let roles = parents.filter_map(|(parent, mapping)| {
            let role = self
                .role(&parent, member, at)
                .filter(|role| role != "writeOnly")?;
            Some(if mapping == "extend" {
                role
            } else {
                mapping.to_owned()
            })
        });
        roles.collect()
    }

    fn raised(&self, group: &CoId, member: &str, at: Timestamp, over_write_only: bool) -> Option<String> {
        let rank = |role: &str| match role {
            "reader" => 1,
            "writeOnly" if over_write_only => 1,
            "writeOnly" => 2,
            "writer" => 2,
            "manager" => 3,
            _ => 4,
        };
        let mut role = self.value(group, member, at).map(str::to_owned);
        for candidate in self.inherited(group, member, at) {
            if role.as_deref().is_none_or(|role| rank(&candidate) > rank(role)) {
                role = Some(candidate);
            }
        }
        role
    }

    /// What somebody may do in a group at a time.
    pub fn role(&self, group: &CoId, member: &str, at: Timestamp) -> Option<String> {
        let everyone = || self.value(group, "everyone", at).map(str::to_owned);
        self.raised(group, member, at, true).or_else(everyone)
    }

    fn reaches(&self, from: &CoId, to: &CoId, at: Timestamp) -> bool {
        let mut parents = self.parents(from, at).into_iter();
        from == to || parents.any(|(parent, _)| self.reaches(&parent, to, at))
    }

    fn is_valid(&self, node: &Node, claim: &Claim) -> bool {
        let Claim {
            at,
            group,
            key,
            value,
            ..
        } = claim;
        let author = claim.session.author().as_str();
        let role = self.raised(group, author, *at, false);
        let role = role.as_deref().unwrap_or_default();
        if let Some(parent) = key.strip_prefix("parent_") {
            let parent: CoId = parent.parse().unwrap();
            return (role == "admin" || role == "manager") && !self.reaches(&parent, group, *at);
        }
        let roles: &[&str] = match &**key {
            "everyone" => &["reader", "writer", "writeOnly", "revoked"],
            _ => &["reader", "writer", "writeOnly", "manager", "admin", "revoked"],
        };
        if !roles.contains(&&**value) {
            return false;
        }
        let is_self = key == author;
        let header = node.log(group).unwrap().header().to_json();
        let is_first =
            role.is_empty() && is_self && value == "admin" && header["ruleset"]["initialAdmin"] == author;
        if is_first || is_self && value == "revoked" {
            return true;
        }
        let is_admin = self.raised(group, key, *at, false).as_deref() == Some("admin");
        match role {
            "admin" => is_self || value == "admin" || !is_admin,
            "manager" => !is_admin && value != "admin",
            _ => false,
        }
    }

    /// Whether a transaction in a value of the group counts.
    pub fn may_write(&self, group: &CoId, session: &SessionId, at: Timestamp) -> bool {
        let role = self.role(group, session.author().as_str(), at);
        role.is_some_and(|role| role != "reader")
    }

    /// Whether somebody is a member by name and reads.
    pub fn is_reading_member(&self, group: &CoId, member: &str) -> bool {
        let role = self.value(group, member, Timestamp(u64::MAX));
        role.is_some_and(|role| role != "writeOnly")
    }

    /// Whether somebody could have been given a key at `from` or later.
    pub fn may_read_since(&self, group: &CoId, member: &str, from: Timestamp) -> bool {
        let histories = self
            .groups
            .get(group)
            .into_iter()
            .flat_map(BTreeMap::values)
            .flatten();
        let later: BTreeSet<Timestamp> = histories.map(|(at, _)| *at).filter(|at| *at > from).collect();
        let mut times = std::iter::once(from).chain(later);
        let reads = |role: &str| role != "writeOnly";
        times.any(|at| {
            // Whatever somebody's own role is: what everybody may read is open.
            let everyone = self.value(group, "everyone", at);
            everyone.is_some_and(reads) || self.role(group, member, at).is_some_and(|role| reads(&role))
        })
    }

    /// Whether a group ever had a parent, or anybody but its maker who could change it.
    pub fn is_plain(&self, group: &CoId) -> bool {
        let Some(keys) = self.groups.get(group) else {
            return false;
        };
        let manages = |(_, value): &(Timestamp, String)| value == "admin" || value == "manager";
        let managers = keys.values().filter(|history| history.iter().any(manages));
        managers.count() <= 1 && !keys.keys().any(|key| key.starts_with("parent_"))
    }
}

/// What a transaction sets, if that decides about roles.
fn single_set(transaction: &Transaction) -> Option<(String, String)> {
    let Transaction::Trusting(tx) = transaction else {
        return None;
    };
    let changes: Vec<Value> = serde_json::from_str(&tx.changes).ok()?;
    let [change] = &changes[..] else { return None };
    let key = change["key"].as_str().filter(|_| change["op"] == "set")?;
    let decides = key == "everyone"
        || (key.starts_with("co_z") || key.starts_with("parent_co_z")) && !key.contains("_for_");
    decides.then(|| Some((key.to_owned(), change["value"].as_str()?.to_owned())))?
}
