//! Shared helpers: vector files and predictable randomness.

use cojson::crypto::{Nonce, decrypt};
use cojson::group::{Groups, Reader};
use cojson::ids::{AccountId, CoId, SessionId};
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use cojson::transaction::{Timestamp, Transaction};
use cojson::{Cx, Entropy, Node};
use proptest::test_runner::Config as ProptestConfig;
use serde_json::{Value, json};

/// Reads a vector file. Lone surrogates, which no Rust string can hold, become U+FFFD.
pub fn vector(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text.replace("\"\\ud800\"", "\"\u{fffd}\"")).unwrap()
}

/// A member that is text.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// A member that is an array.
pub fn items<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no array {key} in {value}"))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A node that a client sends to, and its answers.
pub struct Receiver {
    pub node: Node,
    next_peer: u64,
}

/// Later than every vector.
pub const NOW: Timestamp = Timestamp(1_760_000_000_000);

impl Receiver {
    /// A server: no account.
    pub fn anonymous() -> Self {
        Self {
            node: Node::new(false),
            next_peer: 0,
        }
    }

    /// A node that acts for the account named `name` of a vector.
    pub fn acting_for(vector: &Value, name: &str) -> Self {
        let account = items(vector, "accounts")
            .iter()
            .find(|account| account["name"] == name)
            .unwrap();
        Self::logged_in(text(account, "accountID"), text(account, "agentSecret"))
    }

    /// A node that acts for an account.
    pub fn logged_in(account: &str, secret: &str) -> Self {
        let mut receiver = Self::anonymous();
        let account: AccountId = account.parse().unwrap();
        let session = SessionId::random(
            account.clone().into(),
            &mut Seeded::new(account.as_str().len() as u64),
        );
        receiver
            .node
            .log_in(&account, secret.parse().unwrap(), session)
            .unwrap();
        receiver
    }

    /// Delivers content messages over a connection of their own; returns what was refused.
    pub fn deliver(&mut self, messages: &Value) -> Vec<String> {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        self.node.peer_connected(peer, PeerRole::Client);
        let messages = match messages {
            Value::Array(messages) => messages.clone(),
            message => vec![message.clone()],
        };
        let mut refused = Vec::new();
        for message in messages {
            match Message::parse(&message.to_string()) {
                Ok(message) => self.node.handle_message(NOW, peer, message),
                Err(error) => {
                    let id = error.id.unwrap();
                    self.node.handle_malformed(peer, &id, error.problem);
                }
            }
            while let Some(output) = self.node.poll_output() {
                if let Output::Refused { reason, .. } = output {
                    refused.push(reason);
                }
            }
        }
        self.node.peer_disconnected(peer);
        refused
    }

    pub fn map(&mut self, id: &str) -> Value {
        self.node.map(&id.parse().unwrap()).unwrap().to_json()
    }

    pub fn list(&mut self, id: &str) -> Value {
        self.node.list(&id.parse().unwrap()).unwrap().to_json()
    }
}

/// Checks that a value's decrypted transactions are the ones a vector names, whatever the order of their sessions.
pub fn assert_transactions(receiver: &mut Receiver, id: &CoId, expected: &[Value]) {
    let credentials = receiver.node.credentials().unwrap();
    let reader = Reader::account(credentials.account_id, credentials.agent_secret);
    let values = receiver.node.values();
    let log = values.get(id).unwrap();
    let owner = log.header().owner().unwrap();
    let mut groups = Groups::default();
    groups.refresh(values, owner);
    let count: usize = log.sessions().values().map(|session| session.len()).sum();
    assert_eq!(count, expected.len());
    for expected in expected {
        let session: SessionId = text(expected, "session").parse().unwrap();
        let index = expected["txIndex"].as_u64().unwrap() as usize;
        let transaction = &log.sessions()[&session].transactions()[index];
        assert_eq!(json!(transaction.made_at()), expected["madeAt"]);
        let (privacy, changes, meta) = match transaction {
            Transaction::Trusting(tx) => (
                "trusting",
                tx.changes.to_string(),
                tx.meta.as_deref().map(str::to_owned),
            ),
            Transaction::Private(tx) => {
                let secret = groups.secret(values, &reader, owner, &tx.key_used).unwrap();
                let nonce = Nonce::of_transaction(id, &session, index);
                let plain = |text: &str| decrypt(text, &secret, &nonce).unwrap();
                (
                    "private",
                    plain(&tx.encrypted_changes),
                    tx.meta.as_deref().map(plain),
                )
            }
        };
        assert_eq!(privacy, text(expected, "privacy"));
        let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(parse(changes), expected["changes"]);
        assert_eq!(meta.map(parse).as_ref(), expected.get("meta"));
    }
}

/// The account id of a name in a vector.
pub fn account_id(vector: &Value, name: &str) -> AccountId {
    let account = items(vector, "accounts")
        .iter()
        .find(|account| account["name"] == name);
    text(account.unwrap_or_else(|| panic!("no {name}")), "accountID")
        .parse()
        .unwrap()
}

/// Predictable bytes.
pub struct Seeded(blake3::OutputReader);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Self(hasher.finalize_xof())
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

/// A server and its clients, connected in memory. Messages are delivered by [`Net::settle`].
pub struct Net {
    pub server: Node,
    pub clients: Vec<Node>,
    pub rng: Seeded,
    pub now: Timestamp,
}

impl Net {
    /// A server with clients, each of which acts for an account of its own.
    pub fn new(clients: usize, seed: u64) -> Self {
        let mut rng = Seeded::new(seed);
        let mut net = Self {
            server: Node::new(false),
            clients: Vec::new(),
            rng: Seeded::new(seed + 1),
            now: NOW,
        };
        for index in 0..clients {
            let mut node = Node::new(false);
            let mut cx = Cx {
                now: NOW,
                rng: &mut rng,
            };
            node.create_account(&mut cx, None, &format!("client {index}"))
                .unwrap();
            node.peer_connected(PeerId(0), PeerRole::Server);
            net.server.peer_connected(PeerId(index as u64), PeerRole::Client);
            net.clients.push(node);
        }
        net.settle();
        net
    }

    /// Runs something as a client, a millisecond after what came before.
    pub fn run<R>(&mut self, client: usize, act: impl FnOnce(&mut Node, &mut Cx<'_>) -> R) -> R {
        self.now = Timestamp(self.now.0 + 1);
        act(
            &mut self.clients[client],
            &mut Cx {
                now: self.now,
                rng: &mut self.rng,
            },
        )
    }

    pub fn account(&self, client: usize) -> AccountId {
        self.clients[client].account().unwrap().clone()
    }

    /// Makes a value known to a client, with everything it depends on.
    pub fn load(&mut self, client: usize, id: &CoId) {
        self.settle();
        self.clients[client].request(id);
        self.settle();
        for missing in self.clients[client].missing_dependencies(id) {
            self.clients[client].request(&missing);
        }
        self.settle();
        assert_eq!(self.clients[client].missing_dependencies(id), []);
    }

    /// Delivers messages until nobody has anything to say.
    pub fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for (index, client) in self.clients.iter_mut().enumerate() {
                while let Some(output) = client.poll_output() {
                    is_quiet &= !self.server.deliver(PeerId(index as u64), output, self.now);
                }
            }
            while let Some(output) = self.server.poll_output() {
                if let Output::Send { peer, .. } = &output {
                    let client = &mut self.clients[peer.0 as usize];
                    is_quiet &= !client.deliver(PeerId(0), output, self.now);
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// Takes another node's output as input.
trait Deliver {
    fn deliver(&mut self, from: PeerId, output: Output, now: Timestamp) -> bool;
}

impl Deliver for Node {
    fn deliver(&mut self, from: PeerId, output: Output, now: Timestamp) -> bool {
        match output {
            Output::Send { message, .. } => {
                // Through the text, as on a wire.
                let message = Message::parse(&message.to_json()).unwrap();
                self.handle_message(now, from, message);
                true
            }
            Output::Refused { reason, .. } => panic!("refused: {reason}"),
            _ => false,
        }
    }
}

/// A change that sets a key of a map.
pub fn set(key: &str, value: impl Into<Value>) -> Value {
    json!({"op": "set", "key": key, "value": value.into()})
}

/// Few cases for the daily run; `PROPTEST_CASES` asks for more, `PROPTEST_RNG_SEED` repeats a run.
pub fn cases(few: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(few),
    }
}
