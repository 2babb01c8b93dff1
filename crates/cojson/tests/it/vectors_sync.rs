//! The vector `sync`: what the real client and server said to each other. Our node takes the server's part: it is told
//! what that client said, and must answer the same about each value, in whatever order and pieces.

use std::collections::{BTreeMap, BTreeSet};

use cojson::Node;
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use serde_json::{Value, json};

use crate::support::{NOW, items, text, vector};

/// What a server has said about one value.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// The last of it that it knows, as JSON.
    known: Option<String>,
    is_correction: bool,
    has_asked: bool,
    /// Up to where it has sent each session.
    sent: BTreeMap<String, u64>,
    has_sent_header: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    values: BTreeMap<String, Said>,
    settled: BTreeSet<String>,
}

impl Answers {
    fn add(&mut self, message: &Value) {
        let id = text(message, "id").to_owned();
        if message["action"] == "reconcile-ack" {
            self.settled.insert(id);
            return;
        }
        let said = self.values.entry(id).or_default();
        match text(message, "action") {
            "known" => {
                // Members in the order of their names.
                let sessions: BTreeMap<_, _> = message["sessions"].as_object().unwrap().iter().collect();
                said.known = Some(format!("{} {sessions:?}", message["header"]));
                said.is_correction |= message["isCorrection"] == true;
            }
            "load" => said.has_asked = true,
            "content" => {
                said.has_sent_header |= message["header"].is_object();
                for (session, new) in message["new"].as_object().unwrap() {
                    let count = new["newTransactions"].as_array().unwrap().len() as u64;
                    let end = new["after"].as_u64().unwrap() + count;
                    let sent = said.sent.entry(session.clone()).or_default();
                    *sent = end.max(*sent);
                }
            }
            action => panic!("a server doesn't say {action}"),
        }
    }
}

/// A server of ours and its connections.
struct Server {
    node: Node,
    peer: u64,
}

impl Server {
    fn new() -> Self {
        let mut server = Self {
            node: Node::new(false),
            peer: 0,
        };
        server.connect();
        server
    }

    /// Another connection; returns its name.
    fn connect(&mut self) -> PeerId {
        self.peer += 1;
        let peer = PeerId(self.peer);
        self.node.peer_connected(peer, PeerRole::Client);
        peer
    }

    /// Tells it something; what it says to each connection is added to the answers.
    fn tell(&mut self, peer: PeerId, message: &Value, said: &mut BTreeMap<PeerId, Answers>) {
        match Message::parse(&message.to_string()) {
            Ok(message) => self.node.handle_message(NOW, peer, message),
            Err(error) => panic!("{error}: {message}"),
        }
        while let Some(output) = self.node.poll_output() {
            if let Output::Send { peer, message } = output {
                let message = serde_json::from_str(&message.to_json()).unwrap();
                said.entry(peer).or_default().add(&message);
            }
        }
    }

    fn tell_all(&mut self, peer: PeerId, transcript: &Value) -> BTreeMap<PeerId, Answers> {
        let mut said = BTreeMap::new();
        for entry in items(transcript, "messages").iter().filter(is_from("client")) {
            self.tell(peer, &entry["message"], &mut said);
        }
        said
    }
}

fn is_from(who: &str) -> impl Fn(&&Value) -> bool {
    move |entry| entry["from"] == who
}

fn recorded(transcript: &Value) -> Answers {
    let mut answers = Answers::default();
    for entry in items(transcript, "messages").iter().filter(is_from("server")) {
        answers.add(&entry["message"]);
    }
    answers
}

/// Replays a transcript on a connection and compares.
fn replay(server: &mut Server, peer: PeerId, transcript: &Value) -> BTreeMap<PeerId, Answers> {
    let mut said = server.tell_all(peer, transcript);
    let to_peer = said.remove(&peer).unwrap_or_default();
    assert_eq!(to_peer, recorded(transcript), "{}", text(transcript, "name"));
    said
}

#[test]
fn a_server_of_ours_answers_as_the_recorded_one() {
    let vector = vector("sync");
    let transcripts = items(&vector, "transcripts");
    let named = |begin: &str| {
        let found = transcripts
            .iter()
            .find(|one| text(one, "name").starts_with(begin));
        found.unwrap_or_else(|| panic!("no recording {begin}"))
    };
    let mut server = Server::new();
    let alice = server.connect();
    for name in ["alice connects", "alice creates a public group", "alice updates"] {
        replay(&mut server, alice, named(name));
    }
    let bob = server.connect();
    for name in ["bob connects", "bob loads the map"] {
        replay(&mut server, bob, named(name));
    }
    let mut said = replay(&mut server, bob, named("bob writes (what bob"));
    let pushed = named("bob writes (what the server");
    assert_eq!(said.remove(&alice), Some(recorded(pushed)), "what alice is told");
    let answers = server.tell_all(alice, pushed);
    assert_eq!(answers.len(), 0, "an acknowledgement needs no answer");
    replay(&mut server, bob, named("bob loads an id"));

    server.node.peer_disconnected(alice);
    let alice = server.connect();
    let again = named("alice disconnects");
    replay(&mut server, alice, again);
    let last = items(again, "messages")
        .iter()
        .rfind(|entry| entry["message"]["action"] == "content");
    let mut message = last.unwrap()["message"].clone();
    let mut wrong = |change: &dyn Fn(&mut Value), name: &str| {
        change(&mut message);
        let mut said = BTreeMap::new();
        server.tell(alice, &message, &mut said);
        assert_eq!(said.remove(&alice), Some(recorded(named(name))), "{name}");
    };
    let with_gap = |message: &mut Value| {
        let new = message["new"].as_object_mut().unwrap().values_mut();
        new.for_each(|new| new["after"] = json!(6));
    };
    wrong(&with_gap, "server gets content with a gap");
    let unknown = |message: &mut Value| message["id"] = json!("co_zUnknown22222222222222222");
    wrong(&unknown, "server gets content without header");
    for name in ["reconcile: one equal", "reconcile with nothing different"] {
        replay(&mut server, alice, named(name));
    }

    // Nothing was recorded of the deletion itself; what follows is as if there had been none.
    server.node.peer_disconnected(bob);
    let bob = server.connect();
    replay(&mut server, bob, named("bob, who wrote to the map"));
    let fresh = server.connect();
    replay(&mut server, fresh, named("a node that never had the map"));
    replay(&mut server, alice, named("chunked content"));
}

#[test]
fn a_server_asks_for_what_it_needs_and_ignores_who_sent_nonsense() {
    let vector = vector("sync");
    let transcripts = items(&vector, "transcripts");
    let named = |begin: &str| {
        let mut found = transcripts.iter();
        found.find(|one| text(one, "name").starts_with(begin)).unwrap()
    };
    let before = named("content for a map arrives before its dependencies");
    let mut server = Server::new();
    let peer = server.connect();
    // Ours asks for one thing after the other, and not for what has come meanwhile.
    let said = server.tell_all(peer, before).remove(&peer).unwrap();
    let recorded = recorded(before);
    let asked = |answers: &Answers| {
        let asked = answers.values.iter().filter(|(_, said)| said.has_asked);
        asked.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
    };
    assert!(!asked(&said).is_empty() && asked(&said).is_subset(&asked(&recorded)));
    let here = |said: &&Said| said.known.as_ref().is_some_and(|known| known.starts_with("true"));
    assert_eq!(said.values.values().filter(here).count(), 4);
    for (id, said) in &said.values {
        assert_eq!(said.known, recorded.values[id].known, "{id}");
    }
    let peer = server.connect();
    replay(&mut server, peer, named("content with a wrong signature"));
}
