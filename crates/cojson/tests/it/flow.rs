//! What flows between a node, its storage and its peers: in which order, and when there is too much of it.

use std::collections::{BTreeSet, VecDeque};

use cojson::group::Role;
use cojson::header::ValueType;
use cojson::ids::CoId;
use cojson::limits::MAX_PARKED_MESSAGES;
use cojson::message::{Content, Message};
use cojson::sync::{Output, PeerId, PeerRole};
use cojson::transaction::Privacy;
use cojson::{Cx, NewValue, Node};
use serde_json::{Value, json};

use crate::support::{NOW, Net, Seeded, set};

const SERVER: PeerId = PeerId(0);
const CLIENT: PeerId = PeerId(1);

fn create(net: &mut Net, value_type: ValueType, group: &CoId, init: Vec<Value>) -> CoId {
    let new = NewValue::new(value_type, group.clone(), init);
    net.run(0, |node, cx| node.create(cx, new).unwrap())
}

/// Appends the id of a value to a list, in clear.
fn link(net: &mut Net, list: &CoId, to: &CoId) {
    let change = json!({"op": "app", "value": to, "after": "start"});
    net.run(0, |node, cx| {
        node.write(cx, list, &[change], Privacy::Trusting, None).unwrap();
    });
}

fn contents(node: &mut Node) -> Vec<Content> {
    let outputs = std::iter::from_fn(|| node.poll_output());
    let content = |output| match output {
        Output::Send {
            message: Message::Content(content),
            ..
        } => Some(*content),
        _ => None,
    };
    outputs.filter_map(content).collect()
}

#[test]
fn both_sides_hear_what_they_lack_of_one_value_when_they_meet_again() {
    let mut net = Net::new(2, 25);
    let other = net.account(1);
    net.load(0, other.as_co_id());
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    net.run(0, |node, cx| {
        node.add_member(cx, &group, &other, Role::Writer).unwrap()
    });
    let map = create(&mut net, ValueType::CoMap, &group, vec![]);
    net.load(1, &map);

    net.clients[0].peer_disconnected(SERVER);
    net.server.peer_disconnected(PeerId(0));
    for (client, key) in [(0, "offline"), (1, "meanwhile")] {
        net.run(client, |node, cx| {
            node.write(cx, &map, &[set(key, 1)], Privacy::Private, None)
                .unwrap();
        });
    }
    net.settle();
    net.server.peer_connected(PeerId(0), PeerRole::Client);
    net.clients[0].peer_connected(SERVER, PeerRole::Server);
    net.settle();

    for client in &mut net.clients {
        let map = client.map(&map).unwrap();
        assert_eq!(map.to_json(), json!({"offline": 1, "meanwhile": 1}));
    }
}

#[test]
fn held_writes_show_at_once_and_leave_when_flushed() {
    let mut net = Net::new(1, 21);
    net.clients[0].hold_writes(true);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let map = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1)]);
    let node = &mut net.clients[0];
    assert_eq!(contents(node), []);
    assert_eq!(node.map(&map).unwrap().to_json(), json!({"a": 1}));
    assert!(node.has_held_writes());
    node.flush();
    let sent: Vec<CoId> = contents(node).into_iter().map(|content| content.id).collect();
    assert_eq!(sent, [group, map]);
    assert!(!node.has_held_writes());
}

#[test]
fn a_node_that_holds_writes_tells_nobody_of_them() {
    let mut net = Net::new(2, 22);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let map = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1)]);
    net.settle();
    net.clients[0].hold_writes(true);
    net.run(0, |node, cx| {
        node.write(cx, &map, &[set("a", 2)], Privacy::Private, None)
            .unwrap();
    });
    // Another connection, with everything that makes a node say what it has.
    let node = &mut net.clients[0];
    node.peer_disconnected(SERVER);
    node.peer_connected(SERVER, PeerRole::Server);
    let told = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Send {
            message: Message::Load(state),
            ..
        } if state.id == map => Some(state.sessions.values().sum::<u64>()),
        _ => None,
    });
    assert_eq!(told, Some(1));
}

#[test]
fn no_link_leaves_before_what_it_leads_to() {
    let mut net = Net::new(1, 23);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let list = create(&mut net, ValueType::CoList, &group, Vec::new());
    net.settle();
    net.clients[0].hold_writes(true);
    let mut items = Vec::new();
    for number in 0..5 {
        let item = create(&mut net, ValueType::CoMap, &group, vec![set("number", number)]);
        link(&mut net, &list, &item);
        // Written to once more, after the link.
        net.run(0, |node, cx| {
            node.write(cx, &item, &[set("late", true)], Privacy::Private, None)
                .unwrap();
        });
        items.push(item);
    }
    let node = &mut net.clients[0];
    node.flush();
    let mut here = BTreeSet::new();
    for content in contents(node) {
        let text = Message::Content(Box::new(content.clone())).to_json();
        if content.id == list {
            let linked = items.iter().filter(|item| text.contains(item.as_str()));
            assert!(linked.into_iter().all(|item| here.contains(item)));
        }
        here.insert(content.id);
    }
    assert!(items.iter().all(|item| here.contains(item)));
}

#[test]
fn more_than_can_wait_for_slow_storage_is_not_lost() {
    let mut client = Node::new(false);
    let mut rng = Seeded::new(24);
    let mut cx = Cx {
        now: NOW,
        rng: &mut rng,
    };
    client.create_account(&mut cx, None, "client").unwrap();
    let group = client.create_group(&mut cx).unwrap();
    let maps: Vec<CoId> = (0..MAX_PARKED_MESSAGES + 100)
        .map(|number| {
            let new = NewValue::new(ValueType::CoMap, group.clone(), vec![set("n", number)]);
            client.create(&mut cx, new).unwrap()
        })
        .collect();
    let mut server = Node::new(true);
    client.peer_connected(SERVER, PeerRole::Server);
    server.peer_connected(CLIENT, PeerRole::Client);
    // Storage answers one question at a time, and only when nobody has anything else to say.
    let mut questions = VecDeque::new();
    loop {
        while let Some(output) = client.poll_output() {
            if let Output::Send { message, .. } = output {
                server.handle_message(NOW, CLIENT, message);
            }
        }
        let mut is_quiet = true;
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send { message, .. } => {
                    is_quiet = false;
                    client.handle_message(NOW, SERVER, message);
                }
                Output::Load(id) => questions.push_back(id),
                Output::Refused { reason, .. } => panic!("refused: {reason}"),
                _ => {}
            }
        }
        if is_quiet {
            match questions.pop_front() {
                Some(id) => server.handle_loaded(NOW, &id, None),
                None => break,
            }
        }
    }
    let lost = maps
        .iter()
        .filter(|map| server.known_state(map) != client.known_state(map));
    assert_eq!(lost.count(), 0);
}
