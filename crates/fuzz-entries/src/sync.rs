//! Conversations: a node with storage, two clients and a server, who may say anything at any time.
//!
//! An input is lines. `+N` and `-N` connect and disconnect a peer (0 and 1 are clients, 2 is a server), `N {message}` is what
//! it says, `N!v` all of the value `v`, `?` has storage answer what it was asked, `/v` has the node forget a value, `=v` ask
//! for it, `*` write to it.

use std::collections::VecDeque;

use cojson::Cx;
use cojson::Node;
use cojson::ids::CoId;
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use cojson::transaction::Privacy;
use serde_json::json;

use crate::world::{Counting, NOW, World};

const LINES_MAX: usize = 200;
/// More outputs for one line mean that the node talks to itself.
const OUTPUTS_MAX: usize = 100_000;

struct Conversation {
    world: &'static World,
    node: Node,
    /// What storage was asked for.
    asked: VecDeque<CoId>,
    rng: Counting,
}

/// A conversation.
pub fn sync(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let world = World::get();
    let mut node = Node::new(true);
    let alice = &world.people[0];
    for log in &world.others {
        node.values_mut().insert_log(log.clone());
    }
    node.log_in(
        &alice.credentials.account_id,
        alice.credentials.agent_secret.clone(),
        alice.session.clone(),
    )
    .expect("her account is here");
    let mut conversation = Conversation {
        world,
        node,
        asked: VecDeque::new(),
        rng: Counting::from(3),
    };
    for line in text.lines().take(LINES_MAX) {
        conversation.step(line);
        conversation.drain();
    }
    // Whatever was said, everybody can leave.
    for peer in 0..3 {
        conversation.node.peer_disconnected(PeerId(peer));
    }
    while let Some(id) = conversation.asked.pop_front() {
        conversation.node.handle_loaded(NOW, &id, None);
        conversation.drain();
    }
}

impl Conversation {
    fn value(&self, name: &str) -> Option<CoId> {
        let log = self.world.log(name.chars().next()?)?;
        Some(log.id().clone())
    }

    fn step(&mut self, line: &str) -> Option<()> {
        let (first, rest) = line.split_at_checked(1)?;
        let peer = |text: &str| text.get(..1)?.parse().ok().filter(|peer| *peer < 3).map(PeerId);
        match first {
            "+" => {
                let peer = peer(rest)?;
                let role = if peer.0 == 2 {
                    PeerRole::Server
                } else {
                    PeerRole::Client
                };
                self.node.peer_connected(peer, role);
            }
            "-" => self.node.peer_disconnected(peer(rest)?),
            "?" => {
                let id = self.asked.pop_front()?;
                let mut logs = self.world.values.iter().map(|(_, log)| log);
                let log = logs.find(|log| *log.id() == id).filter(|_| rest != "-");
                self.node.handle_loaded(NOW, &id, log.cloned());
            }
            "/" => drop(self.node.forget(&self.value(rest)?)),
            "=" => self.node.request(&self.value(rest)?),
            "*" => {
                let mut cx = Cx {
                    now: NOW,
                    rng: &mut self.rng,
                };
                let change = [json!({"op": "set", "key": "k", "value": 1})];
                let log = self.world.log(rest.chars().next()?)?;
                let _ = self
                    .node
                    .write(&mut cx, log.id(), &change, Privacy::Private, None);
            }
            _ => self.say(peer(first)?, rest),
        }
        Some(())
    }

    fn say(&mut self, peer: PeerId, said: &str) {
        if let Some(name) = said.strip_prefix('!') {
            for content in self.world.content(name.chars().next().unwrap_or_default()) {
                self.node
                    .handle_message(NOW, peer, Message::Content(Box::new(content)));
                self.drain();
            }
            return;
        }
        match Message::parse(&self.world.fill_in(said)) {
            Ok(message) => self.node.handle_message(NOW, peer, message),
            Err(error) => {
                if let Some(id) = &error.id {
                    self.node.handle_malformed(peer, id, error.problem);
                }
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            match self.node.poll_output() {
                Some(Output::Load(id)) => self.asked.push_back(id),
                Some(Output::Send { message, .. }) => {
                    Message::parse(&message.to_json()).expect("what we send can be understood");
                }
                Some(_) => {}
                None => return,
            }
        }
        panic!("a message has no end of consequences");
    }
}
