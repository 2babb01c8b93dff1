//! Shared helpers: vector files and predictable randomness.

use cojson::ids::{AccountId, SessionId};
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use cojson::transaction::Timestamp;
use cojson::{Entropy, Node};
use serde_json::Value;

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
