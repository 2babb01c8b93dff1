//! The sync protocol, one exchange at a time. Most of these were found by the [simulation](super::simulation).

use cojson::group::Role;
use cojson::header::ValueType;
use cojson::ids::CoId;
use cojson::message::Message;
use cojson::sync::{Output, PeerId, PeerRole};
use cojson::transaction::Privacy;
use cojson::{NewValue, Node};

use crate::support::{NOW, Net, set};

const ALICE: usize = 0;
const BOB: usize = 1;

/// Alice's map, to which Bob may write and which both hold.
fn shared_map() -> (Net, CoId) {
    let mut net = Net::new(2, 5);
    let bob = net.account(BOB);
    net.load(ALICE, bob.as_co_id());
    let map = net.run(ALICE, |node, cx| {
        let group = node.create_group(cx).unwrap();
        node.add_member(cx, &group, &bob, Role::Writer).unwrap();
        node.create(cx, NewValue::new(ValueType::CoMap, group, Vec::new()))
            .unwrap()
    });
    net.load(BOB, &map);
    (net, map)
}

fn write(net: &mut Net, client: usize, map: &CoId, key: &str) {
    net.run(client, |node, cx| {
        node.write(cx, map, &[set(key, 1)], Privacy::Private, None)
            .unwrap()
    });
}

fn outputs(node: &mut Node) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

fn sent(node: &mut Node) -> Vec<Message> {
    let messages = outputs(node).into_iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    messages.collect()
}

/// Everything that `node` has of a value and its dependencies, as a server would send it.
fn content_of(node: &mut Node, id: &CoId) -> Vec<Message> {
    let reader = PeerId(99);
    node.peer_connected(reader, PeerRole::Client);
    node.handle_message(
        NOW,
        reader,
        Message::Load(cojson::log::KnownState::empty(id.clone())),
    );
    let messages = sent(node);
    node.peer_disconnected(reader);
    messages
        .into_iter()
        .filter(|message| matches!(message, Message::Content(_)))
        .collect()
}

fn reconnect(net: &mut Net, client: usize) {
    net.server.peer_connected(PeerId(client as u64), PeerRole::Client);
    net.clients[client].peer_connected(PeerId(0), PeerRole::Server);
    net.settle();
}

fn disconnect(net: &mut Net, client: usize) {
    net.server.peer_disconnected(PeerId(client as u64));
    net.clients[client].peer_disconnected(PeerId(0));
}

#[test]
fn when_both_have_something_new_each_gets_it() {
    let (mut net, map) = shared_map();
    disconnect(&mut net, ALICE);
    write(&mut net, ALICE, &map, "offline");
    write(&mut net, BOB, &map, "online");
    net.settle();
    reconnect(&mut net, ALICE);
    let state = net.server.known_state(&map);
    assert_eq!(state, net.clients[BOB].known_state(&map));
    for client in &mut net.clients {
        assert_eq!(client.known_state(&map), state);
        assert_eq!(client.map(&map).unwrap().len(), 2);
        let mut unconfirmed = client.unconfirmed();
        assert!(client.check_confirmed(&mut unconfirmed));
    }
}

#[test]
fn a_node_with_storage_takes_what_it_asked_a_server_for() {
    let (mut net, map) = shared_map();
    let mut node = Node::new(true);
    node.peer_connected(PeerId(1), PeerRole::Server);
    node.request(&map);
    assert_eq!(outputs(&mut node), [Output::Load(map.clone())]);
    node.handle_loaded(NOW, &map, None);
    assert!(matches!(&sent(&mut node)[..], [Message::Load(state)] if state.id == map));
    for content in content_of(&mut net.server, &map) {
        node.handle_message(NOW, PeerId(1), content);
        // Storage has nothing of what else comes either.
        for output in outputs(&mut node) {
            if let Output::Load(id) = output {
                node.handle_loaded(NOW, &id, None);
            }
        }
    }
    assert_eq!(node.known_state(&map), net.server.known_state(&map));
}

#[test]
fn nobody_hears_of_a_value_before_it_is_stored() {
    let (mut net, map) = shared_map();
    let contents = content_of(&mut net.server, &map);
    let mut server = Node::new(true);
    let (reader, writer) = (PeerId(1), PeerId(2));
    for peer in [reader, writer] {
        server.peer_connected(peer, PeerRole::Client);
    }
    // Somebody waits for the value while storage looks for it.
    server.handle_message(
        NOW,
        reader,
        Message::Load(cojson::log::KnownState::empty(map.clone())),
    );
    for content in contents {
        server.handle_message(NOW, writer, content);
    }
    let (mut is_stored, mut is_told) = (false, false);
    while let Some(output) = server.poll_output() {
        match output {
            Output::Load(id) => server.handle_loaded(NOW, &id, None),
            Output::Store(content) => is_stored |= content.id == map,
            Output::Send {
                peer,
                message: Message::Content(content),
            } if content.id == map => {
                assert!(is_stored, "sent before it is stored");
                is_told |= peer == reader;
            }
            _ => {}
        }
    }
    assert!(is_told);
}

#[test]
fn a_gap_is_told_of_whatever_comes_after_it() {
    let (mut net, map) = shared_map();
    let mut pushed = Vec::new();
    for key in ["a", "b", "c"] {
        write(&mut net, ALICE, &map, key);
        pushed.extend(sent(&mut net.clients[ALICE]));
    }
    // Out of order, and all before anything is answered.
    for message in [pushed.remove(0), pushed.remove(1), pushed.remove(0)] {
        net.server.handle_message(NOW, PeerId(ALICE as u64), message);
    }
    let answers = sent(&mut net.server);
    let correction = |message: &Message| matches!(message, Message::Known { state, is_correction: true } if state.id == map);
    assert!(answers.iter().any(correction), "{answers:?}");
}
