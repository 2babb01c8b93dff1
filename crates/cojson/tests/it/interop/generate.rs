//! Random cases made by us: accounts that write at the same time, in groups whose members change meanwhile.

use std::collections::HashSet;

use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::header::{Uniqueness, ValueType};
use cojson::ids::{CoId, SessionId};
use cojson::log::CoValueLog;
use cojson::message::{Content, Message, NewContent, priority};
use cojson::transaction::Privacy;
use cojson::{Cx, Entropy, NewValue, Node, WriteError};
use serde_json::{Value, json};

use crate::support::{Net, Seeded, hex};

const ROLES: [Role; 5] = [
    Role::Reader,
    Role::Writer,
    Role::WriteOnly,
    Role::Manager,
    Role::Admin,
];
const KINDS: [&str; 5] = ["map", "list", "stream", "text", "unique"];
const STEPS: usize = 70;
const MOMENTS: usize = 4;
const PRIMITIVES: usize = 10;

/// Choices that follow from a seed.
struct Random(Seeded);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % end
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 12] = [
            "a",
            "é",
            "\u{1f600}",
            "e\u{301}",
            "\r\n",
            "\u{2028}",
            "\u{7f}",
            "\"\\/\u{8}\u{c}\u{1}",
            "encrypted_Ux",
            "\u{ffff}",
            "\u{e000}",
            "10",
        ];
        (0..self.below(4)).map(|_| self.pick(&PARTS)).collect()
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth > 0 { 7 } else { 5 }) {
            0 => Value::Null,
            1 => json!(self.chance(50)),
            2 => self.number(),
            3 | 4 => json!(self.text()),
            5 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.below(4))
                .map(|_| (format!("{}{}", self.below(12), self.text()), self.json(depth - 1)))
                .collect(),
        }
    }

    fn number(&mut self) -> Value {
        const EXACT: u64 = 1 << 53;
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        match self.below(4) {
            0 => json!(u64::from_le_bytes(bytes) % EXACT),
            1 => json!(-((u64::from_le_bytes(bytes) % EXACT) as i64)),
            2 => json!(self.pick(&[0.0, -0.0, 1e20, 1e21, 1e-6, 1e-7, 5e-324, f64::MAX, 1.0])),
            // Infinities and what is no number become null, as in JavaScript.
            _ => json!(f64::from_le_bytes(bytes)),
        }
    }

    fn primitive(&mut self) -> Value {
        let bytes = |random: &mut Self| {
            let mut bytes = [0; 32];
            random.0.fill(&mut bytes);
            bytes
        };
        let uniqueness = match self.below(4) {
            0 => json!(self.text()),
            1 => json!(self.chance(50)),
            2 => Value::Null,
            _ => json!(self.below(1 << 30)),
        };
        let kind = self.pick(&["comap", "colist", "costream", "coplaintext"]);
        json!({
            "value": self.json(3),
            "header": {
                "type": kind, "ruleset": {"type": "unsafeAllowAll"}, "meta": {"name": self.text()}, "uniqueness": uniqueness,
            },
            "seed": hex(&bytes(self)),
            "otherSeed": hex(&bytes(self)),
            "key": format!("keySecret_z{}", bs58::encode(bytes(self)).into_string()),
            "material": {"in": self.text(), "tx": {"sessionID": self.text(), "txIndex": self.below(100)}},
        })
    }
}

struct World {
    random: Random,
    net: Net,
    groups: Vec<CoId>,
    values: Vec<(CoId, &'static str)>,
    times: Vec<u64>,
}

/// The case of a seed.
pub fn generate(seed: u64) -> Value {
    let mut random = Random(Seeded::new(seed));
    let accounts = 3 + random.below(2);
    let mut world = World {
        random,
        net: Net::new(accounts, seed),
        groups: Vec::new(),
        values: Vec::new(),
        times: Vec::new(),
    };
    world.settle();
    for _ in 0..STEPS {
        world.step();
    }
    world.finish(seed)
}

impl World {
    /// Makes the first group with all accounts, and a value of each kind.
    fn settle(&mut self) {
        self.sync();
        let group = self.net.run(0, |node, cx| node.create_group(cx)).unwrap();
        self.groups.push(group.clone());
        for other in 1..self.net.clients.len() {
            let role = self.random.pick(&ROLES);
            self.set_member(0, &group, other, role).unwrap();
        }
        for kind in KINDS {
            self.create(0, &group, kind).unwrap();
        }
        self.sync();
    }

    /// Everybody gets everything.
    fn sync(&mut self) {
        self.net.settle();
        let accounts = 0..self.net.clients.len();
        let mut ids: Vec<CoId> = accounts
            .clone()
            .map(|client| self.net.account(client).as_co_id().clone())
            .collect();
        ids.extend(self.groups.iter().cloned());
        ids.extend(self.values.iter().map(|(id, _)| id.clone()));
        for client in accounts {
            for id in &ids {
                if !self.net.clients[client].has(id) {
                    self.net.load(client, id);
                }
            }
        }
        self.net.settle();
    }

    fn step(&mut self) {
        let actor = self.random.below(self.net.clients.len());
        // What is not allowed, or not there yet, writes nothing.
        drop(self.act(actor));
        if self.random.chance(8) {
            self.net.now.0 += 1;
            self.times.push(self.net.now.0);
        }
        // What happens between two of these happens at the same time.
        if self.random.chance(40) {
            self.sync();
        }
    }

    fn act(&mut self, actor: usize) -> Result<(), WriteError> {
        let index = self.random.below(self.groups.len());
        let group = self.groups[index].clone();
        // Of older groups alone: a circle, even one that is no more, can't be loaded by the reference.
        let parent = self.groups[self.random.below(index + 1)].clone();
        let other = self.random.below(self.net.clients.len());
        let member = self.net.account(other);
        let role = self.random.pick(&ROLES);
        match self.random.below(100) {
            0..45 => self.write(actor),
            45..52 => {
                let kind = self.random.pick(&KINDS);
                self.create(actor, &group, kind)
            }
            52..62 => self.alone(|world| world.set_member(actor, &group, other, role)),
            62..68 => self.alone(|world| {
                world
                    .net
                    .run(actor, |node, cx| node.remove_member(cx, &group, &member))
            }),
            68..75 => {
                let roles = [
                    EveryoneRole::Reader,
                    EveryoneRole::Writer,
                    EveryoneRole::WriteOnly,
                ]
                .map(Some);
                let role = self.random.pick(&[roles[0], roles[1], roles[2], None, None]);
                self.net
                    .run(actor, |node, cx| node.set_everyone(cx, &group, role))
            }
            75..79 => {
                let group = self.net.run(actor, |node, cx| node.create_group(cx))?;
                self.groups.push(group);
                Ok(())
            }
            79..84 => {
                let mapping = self.random.pick(&[
                    Mapping::Extend,
                    Mapping::As(Role::Reader),
                    Mapping::As(Role::Writer),
                    Mapping::As(Role::Manager),
                    Mapping::As(Role::Admin),
                ]);
                self.net
                    .run(actor, |node, cx| node.extend(cx, &group, &parent, mapping))
            }
            84..87 => self.alone(|world| {
                world
                    .net
                    .run(actor, |node, cx| node.revoke_extend(cx, &group, &parent))
            }),
            87..93 => self.invite(actor, &group, other, role),
            93..95 => {
                let (id, _) = self.random.pick(&self.values);
                self.net.run(actor, |node, cx| node.delete(cx, &id))
            }
            _ => self.net.run(actor, new_session),
        }
    }

    /// What may take a right away happens when nobody makes use of it at the same time. Both sides refuse a write key of
    /// one's own that isn't the first, but the reference takes what hands out that key, though nobody will ever use it.
    fn alone<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> R {
        self.sync();
        let result = act(self);
        self.sync();
        result
    }

    fn set_member(&mut self, actor: usize, group: &CoId, other: usize, role: Role) -> Result<(), WriteError> {
        // Would give itself a write key when it no longer may; see `alone`.
        if actor == other && role == Role::WriteOnly {
            return Ok(());
        }
        let member = self.net.account(other);
        self.net
            .run(actor, |node, cx| node.add_member(cx, group, &member, role))
    }

    fn invite(&mut self, actor: usize, group: &CoId, guest: usize, role: Role) -> Result<(), WriteError> {
        let invite = self
            .net
            .run(actor, |node, cx| node.create_invite(cx, group, role))?;
        self.sync();
        let write_key = format!("writeKeyFor_{}", self.net.account(guest));
        let mut known = self.net.clients[guest].group(group).unwrap().entries();
        // An invite can't give a second write key; see `alone`.
        if known.any(|(key, _)| key == write_key) {
            return Ok(());
        }
        drop(known);
        self.net
            .run(guest, |node, cx| node.accept_invite(cx, group, &invite))
    }

    fn create(&mut self, actor: usize, group: &CoId, kind: &'static str) -> Result<(), WriteError> {
        let random = &mut self.random;
        let (value_type, shown, init) = match kind {
            "map" | "unique" => (
                ValueType::CoMap,
                "map",
                vec![json!({"op": "set", "key": "a", "value": random.json(3)})],
            ),
            "list" => {
                let item = json!({"op": "app", "value": random.json(3), "after": "start"});
                (ValueType::CoList, kind, vec![item])
            }
            "text" => {
                let item = json!({"op": "app", "value": random.text(), "after": "start"});
                (ValueType::CoPlainText, kind, vec![item])
            }
            _ => (ValueType::CoStream, kind, vec![random.json(3)]),
        };
        let mut new = NewValue::new(value_type, group.clone(), init);
        new.restrict_deletion = kind == "list" && random.chance(30);
        if kind == "unique" {
            new.uniqueness = Some(Uniqueness::Text(random.pick(&["u", "v"]).into()));
            new.init_meta = Some(json!({"fww": "init"}));
        }
        let id = self.net.run(actor, |node, cx| node.create(cx, new))?;
        if !self.values.iter().any(|(known, _)| *known == id) {
            self.values.push((id, shown));
        }
        Ok(())
    }

    fn write(&mut self, actor: usize) -> Result<(), WriteError> {
        let (id, kind) = self.random.pick(&self.values);
        let random = &mut self.random;
        let node = &mut self.net.clients[actor];
        let value = if kind == "text" {
            json!(random.text())
        } else {
            random.json(3)
        };
        let changes = match kind {
            "map" if random.chance(20) => vec![json!({"op": "del", "key": random.pick(&["a", "b", "c"])})],
            "map" => vec![json!({"op": "set", "key": random.pick(&["a", "b", "c"]), "value": value})],
            "stream" => vec![value],
            _ => {
                let list = node.list(&id)?;
                let at = random.below(list.len() + 1);
                match random.below(4) {
                    0 => list.push_changes(vec![value]),
                    1 if at < list.len() => list.remove_change(at).into_iter().collect(),
                    2 if at < list.len() => list.set_changes(at, value).unwrap(),
                    _ => list.insert_changes(at, vec![value.clone(), value]),
                }
            }
        };
        let privacy = if random.chance(80) {
            Privacy::Private
        } else {
            Privacy::Trusting
        };
        self.net
            .run(actor, |node, cx| node.write(cx, &id, &changes, privacy, None))
    }

    fn finish(mut self, seed: u64) -> Value {
        self.sync();
        self.net.now.0 += 1;
        self.times.truncate(MOMENTS);
        self.times.push(self.net.now.0);
        let accounts = self.net.clients.iter().enumerate().map(|(index, node)| {
            let credentials = node.credentials().unwrap();
            let secret = credentials.agent_secret.expose().to_owned();
            json!({"name": format!("account {index}"), "id": credentials.account_id, "secret": secret})
        });
        let values = self.values.iter();
        json!({
            "seed": format!("ours-{seed}"),
            "accounts": accounts.collect::<Value>(),
            "groups": self.groups,
            "values": values.map(|(id, kind)| json!({"id": id, "kind": kind})).collect::<Value>(),
            "times": self.times,
            "content": everything(&self.net.server),
            "tampered": [],
            "primitives": (0..PRIMITIVES).map(|_| self.random.primitive()).collect::<Value>(),
        })
    }
}

/// Goes on as the same account in another session.
fn new_session(node: &mut Node, cx: &mut Cx<'_>) -> Result<(), WriteError> {
    let credentials = node.credentials().unwrap();
    let session = SessionId::random(credentials.account_id.clone().into(), cx.rng);
    node.log_in(&credentials.account_id, credentials.agent_secret, session)
}

/// All values of a node as content messages, each after what it depends on.
fn everything(node: &Node) -> Value {
    let mut met = HashSet::new();
    let mut messages = Vec::new();
    let mut logs: Vec<&CoValueLog> = node.values().iter().collect();
    logs.sort_by_key(|log| log.id());
    for log in logs {
        visit(node, log, &mut met, &mut messages);
    }
    messages.into()
}

fn visit(node: &Node, log: &CoValueLog, met: &mut HashSet<CoId>, messages: &mut Vec<Value>) {
    if !met.insert(log.id().clone()) {
        return;
    }
    for dependency in log.dependencies() {
        visit(node, node.log(dependency).unwrap(), met, messages);
    }
    let sessions = log.sessions().iter().map(|(session, content)| {
        let new = NewContent {
            after: 0,
            new_transactions: content.transactions().to_vec(),
            last_signature: content.signature().unwrap().clone(),
        };
        (session.clone(), new)
    });
    let content = Content {
        id: log.id().clone(),
        priority: priority(log.header().kind()),
        header: Some(log.header().clone()),
        new: sessions.collect(),
        expect_content_until: None,
    };
    let message = Message::Content(Box::new(content)).to_json();
    messages.push(serde_json::from_str(&message).unwrap());
}
