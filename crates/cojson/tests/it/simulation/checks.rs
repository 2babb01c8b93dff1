//! What must hold when everything has healed.

use std::collections::BTreeMap;

use cojson::header::ValueType;
use cojson::ids::{CoId, SessionId};
use cojson::transaction::Timestamp;
use serde_json::Value;

use super::model::Model;
use super::world::World;

/// Later than everything.
const END: Timestamp = Timestamp(u64::MAX);

impl World {
    pub fn check(&mut self) {
        self.check_known_states();
        let server = self.clients().end;
        let model = Model::of(&self.hosts[server].node);
        self.check_roles(&model);
        self.check_content(&model);
        self.check_secrets(&model);
    }

    /// Everybody has the same of everything, and servers have confirmed it.
    fn check_known_states(&mut self) {
        let ids: Vec<CoId> = self
            .groups
            .iter()
            .chain(self.values.iter().map(|(id, ..)| id))
            .cloned()
            .collect();
        for id in &ids {
            let expected = self.hosts[self.clients().end].node.known_state(id);
            for host in &self.hosts {
                assert_eq!(host.node.known_state(id), expected, "at {}", host.name);
            }
        }
        for client in self.clients() {
            let node = &mut self.hosts[client].node;
            let mut unconfirmed = node.unconfirmed();
            assert!(
                node.check_confirmed(&mut unconfirmed),
                "client {client} waits for {unconfirmed:?}"
            );
        }
    }

    fn check_roles(&mut self, model: &Model) {
        for group in self.groups.clone() {
            for client in self.clients() {
                let account = self.account(client).clone();
                for host in &mut self.hosts {
                    if !host.node.has(&group) {
                        continue;
                    }
                    let role = host.node.role_of(&account, &group).map(|role| role.as_str());
                    let expected = model.role(&group, account.as_str(), END);
                    assert_eq!(role, expected.as_deref(), "{account} in {group} at {}", host.name);
                }
            }
        }
    }

    /// The transactions of a value that count, oldest first, with what they say.
    fn valid(
        &self,
        model: &Model,
        id: &CoId,
        group: &CoId,
    ) -> Vec<(Timestamp, SessionId, usize, Vec<Value>)> {
        let log = self.hosts[self.clients().end].node.log(id);
        let sessions = log.into_iter().flat_map(|log| log.sessions());
        let mut valid: Vec<_> = sessions
            .flat_map(|(session, content)| {
                let transactions = content.transactions().iter().enumerate();
                transactions.map(move |(index, tx)| (tx.made_at(), session.clone(), index))
            })
            .filter(|(at, session, _)| model.may_write(group, session, *at))
            .map(|(at, session, index)| {
                let plain = self.plain[&(id.clone(), session.clone(), index)].clone();
                (at, session, index, plain)
            })
            .collect();
        valid.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
        valid
    }

    fn check_content(&mut self, model: &Model) {
        for (id, value_type, group) in self.values.clone() {
            let valid = self.valid(model, &id, &group);
            let is_plain = model.is_plain(&group);
            for client in self.clients() {
                let account = self.account(client).clone();
                // Where keys may have been changed by two at once, not everybody can read everything that counts; and
                // `everybody` doesn't get the keys of who may only write.
                let sees_all = is_plain && model.is_reading_member(&group, account.as_str());
                let node = &mut self.hosts[client].node;
                if !node.has(&id) {
                    continue;
                }
                let who = format!("client {client} of {id} in {group}");
                match value_type {
                    ValueType::CoMap => {
                        let shown = node.map(&id).unwrap().to_json();
                        let anew = node.map_at(&id, END).unwrap().to_json();
                        assert_eq!(shown, anew, "{who} is not what its log says");
                        check_map(&who, &shown, &valid, sees_all);
                    }
                    _ => {
                        let shown: Vec<Value> = node.list(&id).unwrap().values().cloned().collect();
                        check_list(&who, shown, &valid, sees_all);
                    }
                }
            }
        }
    }

    /// Who could read nothing any more when something was written, and never could again, doesn't see it.
    fn check_secrets(&mut self, model: &Model) {
        for secret in &self.secrets {
            for client in &secret.hidden_from {
                let account = self.credentials[*client].account_id.as_str();
                if !model.is_plain(&secret.group) || model.may_read_since(&secret.group, account, secret.at) {
                    continue;
                }
                let node = &mut self.hosts[*client].node;
                let Ok(map) = node.map_at(&secret.id, secret.at) else {
                    continue;
                };
                assert!(
                    map.iter().all(|(_, value)| *value != secret.value),
                    "client {client} reads {} at {:?} in {}",
                    secret.value,
                    secret.at,
                    secret.group
                );
            }
        }
    }
}

type Valid = [(Timestamp, SessionId, usize, Vec<Value>)];

fn check_map(who: &str, shown: &Value, valid: &Valid, sees_all: bool) {
    let changes = valid.iter().flat_map(|(.., changes)| changes);
    let mut expected: BTreeMap<&str, &Value> = BTreeMap::new();
    for change in changes.clone() {
        let key = change["key"].as_str().unwrap();
        match change["op"].as_str() {
            Some("set") => expected.insert(key, &change["value"]),
            _ => expected.remove(key),
        };
    }
    let shown = shown.as_object().unwrap();
    if sees_all {
        let shown: BTreeMap<&str, &Value> = shown.iter().map(|(key, value)| (&**key, value)).collect();
        assert_eq!(shown, expected, "{who}");
    }
    for (key, value) in shown {
        let is_valid = |change: &Value| change["key"] == **key && change["value"] == *value;
        assert!(
            changes.clone().any(is_valid),
            "{who} sees {value}, which nobody was allowed to write"
        );
    }
}

fn check_list(who: &str, mut shown: Vec<Value>, valid: &Valid, sees_all: bool) {
    let mut inserted: BTreeMap<(&SessionId, usize, usize), &Value> = BTreeMap::new();
    let mut removed: Vec<&Value> = Vec::new();
    for (_, session, tx, changes) in valid {
        for (index, change) in changes.iter().enumerate() {
            match change["op"].as_str() {
                Some("del") => removed.push(&change["insertion"]),
                _ => drop(inserted.insert((session, *tx, index), &change["value"])),
            }
        }
    }
    for value in &shown {
        assert!(
            inserted.values().any(|known| *known == value),
            "{who} sees {value}, which nobody was allowed to insert"
        );
    }
    if sees_all {
        let is_removed = |(session, tx, index): &(&SessionId, usize, usize)| {
            let is_it = |of: &&Value| {
                of["sessionID"] == session.as_str() && of["txIndex"] == *tx && of["changeIdx"] == *index
            };
            removed.iter().any(is_it)
        };
        let mut expected: Vec<Value> = inserted
            .iter()
            .filter(|(at, _)| !is_removed(at))
            .map(|(_, value)| (*value).clone())
            .collect();
        // In what order is for other tests to say; here, that everybody agrees on what is there.
        let text = |value: &Value| value.to_string();
        expected.sort_by_key(text);
        shown.sort_by_key(text);
        assert_eq!(shown, expected, "{who}");
    }
}
