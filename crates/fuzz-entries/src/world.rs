//! A few accounts, groups and values that are the same at each run, so that an input can speak of them.

use std::sync::OnceLock;

use cojson::group::Role;
use cojson::header::ValueType;
use cojson::ids::{CoId, SessionId};
use cojson::log::CoValueLog;
use cojson::message::Content;
use cojson::secrets::{AgentSecret, SecretSeed};
use cojson::transaction::Timestamp;
use cojson::{Credentials, Cx, Entropy, NewValue, Node};
use serde_json::{Map, Value, json};

/// When everything happens.
pub const NOW: Timestamp = Timestamp(1_760_000_000_000);

/// Bytes that only look random.
pub struct Counting(u64);

impl Counting {
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // SplitMix64.
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (mixed >> 32) as u8;
        }
    }
}

/// Somebody who writes.
pub struct Person {
    pub credentials: Credentials,
    pub session: SessionId,
}

/// Alice has made a group in which Bob writes and Carol reads, its parent, an invite, and a value of each type.
pub struct World {
    pub people: [Person; 3],
    /// What inputs call it, and its log.
    pub values: Vec<(char, CoValueLog)>,
    /// The accounts and their profiles.
    pub others: Vec<CoValueLog>,
    names: Vec<(char, String)>,
}

impl World {
    /// The one there is.
    pub fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::make)
    }

    fn make() -> Self {
        let mut rng = Counting::from(1);
        let mut cx = Cx {
            now: NOW,
            rng: &mut rng,
        };
        let mut others = Vec::new();
        let people = [1, 2, 3].map(|seed| {
            let mut node = Node::new(false);
            let secret = AgentSecret::from_seed(&SecretSeed::from_bytes([seed; 32]));
            let credentials = node
                .create_account_of(&mut cx, secret, "somebody")
                .expect("an empty node makes an account");
            node.flush();
            others.extend(node.values().iter().cloned());
            let session = SessionId::random(credentials.account_id.clone().into(), cx.rng);
            Person { credentials, session }
        });
        let mut node = Self::node_of(&people[0], others.iter());
        let made = "the maker of a group may do that";
        let group = node.create_group(&mut cx).expect(made);
        let parent = node.create_group(&mut cx).expect(made);
        for (person, role) in [(1, Role::Writer), (2, Role::Reader)] {
            let member = &people[person].credentials.account_id;
            node.add_member(&mut cx, &group, member, role).expect(made);
        }
        let mut values = vec![('g', group.clone()), ('p', parent)];
        let kinds = [
            ('m', ValueType::CoMap, false),
            ('l', ValueType::CoList, false),
            ('s', ValueType::CoStream, false),
            ('b', ValueType::CoStream, true),
            ('t', ValueType::CoPlainText, false),
        ];
        for (name, value_type, is_binary) in kinds {
            let mut new = NewValue::new(value_type, group.clone(), Vec::new());
            new.init = None;
            new.meta = is_binary.then(|| Map::from_iter([("type".to_owned(), Value::from("binary"))]));
            let id = node.create(&mut cx, new).expect(made);
            values.push((name, id));
        }
        node.flush();
        let key = node.group(&group).expect(made).read_key().expect(made);
        let mut names: Vec<(char, String)> =
            values.iter().map(|(name, id)| (*name, id.to_string())).collect();
        names.push(('k', key.to_string()));
        let header = node.log(&values[2].1).expect(made).header();
        names.push(('h', header.to_json().to_string()));
        for ((account, session), person) in [('A', '1'), ('B', '2'), ('C', '3')].into_iter().zip(&people) {
            names.push((account, person.credentials.account_id.to_string()));
            names.push((session, person.session.to_string()));
        }
        let log = |id: &CoId| node.log(id).expect(made).clone();
        let values = values.iter().map(|(name, id)| (*name, log(id))).collect();
        Self {
            people,
            values,
            others,
            names,
        }
    }

    fn node_of<'a>(person: &Person, logs: impl Iterator<Item = &'a CoValueLog>) -> Node {
        let mut node = Node::new(false);
        for log in logs {
            node.values_mut().insert_log(log.clone());
        }
        let Credentials {
            account_id,
            agent_secret,
        } = &person.credentials;
        node.log_in(account_id, agent_secret.clone(), person.session.clone())
            .expect("its account is here");
        node
    }

    /// A node of Alice's that has everything.
    pub fn node(&self) -> Node {
        let logs = self.others.iter().chain(self.values.iter().map(|(_, log)| log));
        Self::node_of(&self.people[0], logs)
    }

    /// The log that is called so.
    pub fn log(&self, name: char) -> Option<&CoValueLog> {
        let mut values = self.values.iter();
        values.find(|(value, _)| *value == name).map(|(_, log)| log)
    }

    /// Everything of a value, as it is sent.
    pub fn content(&self, name: char) -> Vec<Content> {
        let mut node = self.node();
        self.log(name).map_or_else(Vec::new, |log| node.export(log.id()))
    }

    /// Replaces `$g`, `$A` and so on by ids: values and the group's key by lower-case letters, accounts by upper-case ones,
    /// their sessions by digits; `$h` by the map's header.
    pub fn fill_in(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, id) in &self.names {
            filled = filled.replace(&format!("${name}"), id);
        }
        filled
    }
}

/// What all views of a node show.
pub fn shown(node: &mut Node, world: &World) -> Value {
    let mut shown = Map::new();
    for (name, log) in &world.values {
        let id = log.id();
        let value = match name {
            'g' | 'p' => group(node, id, world),
            'm' => node.map(id).map(|map| map.to_json()).unwrap_or_default(),
            'l' => node.list(id).map(|list| list.to_json()).unwrap_or_default(),
            't' => node
                .list(id)
                .map(|list| list.to_text().into())
                .unwrap_or_default(),
            's' => node
                .stream(id)
                .map(|stream| json!(stream.len()))
                .unwrap_or_default(),
            _ => file(node, id),
        };
        shown.insert(name.to_string(), value);
        shown.insert(format!("{name} deleted"), node.is_deleted(id).into());
    }
    shown.into()
}

fn group(node: &mut Node, id: &CoId, world: &World) -> Value {
    let mut roles = Vec::new();
    for person in &world.people {
        let account = &person.credentials.account_id;
        roles.push(format!("{:?}", node.role_of(account, id)));
    }
    roles.push(format!("{:?}", node.role_at("everyone", id, Timestamp::MAX)));
    let entries: Map<String, Value> = match node.group(id) {
        Ok(view) => {
            let entries = view.entries();
            entries
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect()
        }
        Err(_) => Map::new(),
    };
    json!({"roles": roles, "entries": entries})
}

fn file(node: &mut Node, id: &CoId) -> Value {
    let Ok(file) = node.file(id) else {
        return Value::Null;
    };
    let (count, len) = (file.chunk_count(), file.len());
    for index in 0..count {
        let _ = node.file_chunk(id, index);
    }
    json!([count, len])
}
