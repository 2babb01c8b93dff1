//! What peers may try, and what becomes of it: one test for each rule that goes beyond the format's own.
//! `vectors_invalid` has what the format forbids by itself.

use cojson::WriteError;
use cojson::crypto::from_base64;
use cojson::group::{Mapping, Role};
use cojson::header::ValueType;
use cojson::ids::{CoId, SessionId};
use cojson::limits::{MAX_OUTSIDER_BYTES, MAX_OUTSIDER_SESSIONS};
use cojson::log::CoValueLog;
use cojson::message::{Content, Message};
use cojson::secrets::AgentSecret;
use cojson::sync::{Output, PeerId, PeerRole, Recalled};
use cojson::transaction::{Privacy, Timestamp, Transaction, TrustingTransaction};
use cojson::values::{ReceiveError, fingerprint};
use cojson::{NewValue, Node};
use serde_json::{Value, json};

use crate::support::{NOW, Net, Seeded, account_id, items, set, text, vector};

/// A group of the first client, in which the others have these roles, and a map of it. Everybody has both.
fn shared(net: &mut Net, roles: &[Role]) -> (CoId, CoId) {
    let accounts: Vec<_> = (1..=roles.len()).map(|client| net.account(client)).collect();
    for account in &accounts {
        net.load(0, account.as_co_id());
    }
    let (group, map) = net.run(0, |node, cx| {
        let group = node.create_group(cx).unwrap();
        for (account, role) in accounts.iter().zip(roles) {
            node.add_member(cx, &group, account, *role).unwrap();
        }
        let map = NewValue::new(ValueType::CoMap, group.clone(), vec![set("a", 1)]);
        (group, node.create(cx, map).unwrap())
    });
    for client in 1..=roles.len() {
        net.load(client, &map);
    }
    net.settle();
    (group, map)
}

/// Delivers a message over a connection of its own and returns what was refused.
fn deliver(node: &mut Node, peer: PeerId, now: Timestamp, message: &Value) -> Vec<String> {
    match Message::parse(&message.to_string()) {
        Ok(message) => node.handle_message(now, peer, message),
        Err(error) => node.handle_malformed(peer, &error.id.unwrap(), error.problem),
    }
    let mut refused = Vec::new();
    while let Some(output) = node.poll_output() {
        if let Output::Refused { reason, .. } = output {
            refused.push(reason);
        }
    }
    refused
}

/// A session that somebody signs by hand.
fn session(
    secret: &AgentSecret,
    author: &Node,
    id: &CoId,
    seed: u64,
    transactions: Vec<Transaction>,
) -> Value {
    let header = author.log(id).unwrap().header().clone();
    let mut log = CoValueLog::new(header);
    let session = SessionId::random(author.account().unwrap().clone().into(), &mut Seeded::new(seed));
    for transaction in transactions {
        log.append_own(&session, transaction);
    }
    log.sign_own(&session, secret.signer());
    let content = &log.sessions()[&session];
    json!({"action": "content", "id": id, "priority": 3, "new": {session.as_str(): {
        "after": 0, "newTransactions": content.transactions(), "lastSignature": content.signature(),
    }}})
}

fn in_clear(at: Timestamp, changes: &[Value]) -> Transaction {
    Transaction::Trusting(TrustingTransaction {
        made_at: at,
        changes: Value::from(changes).to_string().into(),
        meta: None,
    })
}

fn secret(net: &Net, client: usize) -> AgentSecret {
    net.clients[client].credentials().unwrap().agent_secret
}

/// The content of a value that one client has, as a message.
fn content(net: &mut Net, client: usize, id: &CoId) -> Value {
    let pieces: Vec<Content> = net.clients[client].export(id);
    let piece = pieces.into_iter().find(|piece| piece.id == *id).unwrap();
    serde_json::to_value(Message::Content(Box::new(piece))).unwrap()
}

/// A node that acts for a client's account in another session, with nothing in it but what a value depends on.
fn newcomer(net: &mut Net, client: usize, id: &CoId) -> Node {
    let mut node = Node::new(false);
    let account = net.account(client);
    for piece in net.clients[client].export(id) {
        if piece.id != *id {
            node.import(NOW, piece).unwrap();
        }
    }
    let session = SessionId::random(account.clone().into(), &mut Seeded::new(77));
    node.log_in(&account, secret(net, client), session).unwrap();
    node.peer_connected(PeerId(0), PeerRole::Server);
    node
}

#[test]
fn a_transaction_whose_members_do_not_fit_its_privacy_is_refused() {
    let mut net = Net::new(2, 100);
    let (_, map) = shared(&mut net, &[Role::Writer]);
    let genuine = content(&mut net, 0, &map);
    let relabel = |privacy: &str, member: &str| {
        let mut message = genuine.clone();
        let new = message["new"].as_object_mut().unwrap().values_mut().next();
        let transaction = &mut new.unwrap()["newTransactions"][0];
        transaction["privacy"] = json!(privacy);
        if !member.is_empty() {
            transaction[member] = json!("[]");
        }
        message
    };
    for (privacy, member) in [("trusting", ""), ("trusting", "changes"), ("private", "changes")] {
        let mut node = newcomer(&mut net, 1, &map);
        let now = net.now;
        let refused = deliver(&mut node, PeerId(0), now, &relabel(privacy, member));
        assert_eq!(refused.len(), 1, "{privacy} {member}");
        assert!(!node.has(&map));
    }
}

#[test]
fn a_batch_that_does_not_verify_keeps_no_correct_one_out() {
    let mut net = Net::new(2, 101);
    let (_, map) = shared(&mut net, &[Role::Writer]);
    let genuine = content(&mut net, 0, &map);
    let mut forged = genuine.clone();
    let new = forged["new"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap();
    new["newTransactions"][0]["madeAt"] = json!(1);
    let mut node = newcomer(&mut net, 1, &map);
    let now = net.now;
    assert_eq!(deliver(&mut node, PeerId(0), now, &forged).len(), 1);
    node.peer_connected(PeerId(1), PeerRole::Server);
    assert_eq!(deliver(&mut node, PeerId(1), now, &genuine), [""; 0]);
    assert_eq!(node.map(&map).unwrap().to_json(), json!({"a": 1}));
}

#[test]
fn a_session_from_the_future_is_refused_and_the_others_of_the_value_are_taken() {
    let mut net = Net::new(2, 102);
    let (_, map) = shared(&mut net, &[Role::Writer]);
    let (now, writer) = (net.now, secret(&net, 1));
    let far = Timestamp(now.0 + 3_600_000);
    let ahead = session(
        &writer,
        &net.clients[1],
        &map,
        1,
        vec![in_clear(far, &[set("a", 2)])],
    );
    let refused = deliver(&mut net.clients[0], PeerId(0), now, &ahead);
    assert!(refused[0].contains("future"), "{refused:?}");
    let honest = session(
        &writer,
        &net.clients[1],
        &map,
        2,
        vec![in_clear(now, &[set("b", 2)])],
    );
    assert_eq!(deliver(&mut net.clients[0], PeerId(0), now, &honest), [""; 0]);
    assert_eq!(
        net.clients[0].map(&map).unwrap().to_json(),
        json!({"a": 1, "b": 2})
    );
}

#[test]
fn a_copied_session_is_refused_and_the_others_of_the_value_are_taken() {
    let mut net = Net::new(2, 103);
    let (_, map) = shared(&mut net, &[Role::Writer]);
    let (_, other) = shared(&mut net, &[Role::Writer]);
    let (now, writer) = (net.now, secret(&net, 1));
    let log = vec![in_clear(now, &[set("b", 1)]), in_clear(now, &[set("b", 2)])];
    let original = session(&writer, &net.clients[1], &map, 1, log);
    assert_eq!(deliver(&mut net.clients[0], PeerId(0), now, &original), [""; 0]);
    let mut copy = original;
    copy["id"] = json!(other);
    let refused = deliver(&mut net.clients[0], PeerId(0), now, &copy);
    assert!(refused[0].contains("copy"), "{refused:?}");
    let honest = session(
        &writer,
        &net.clients[1],
        &other,
        2,
        vec![in_clear(now, &[set("c", 3)])],
    );
    assert_eq!(deliver(&mut net.clients[0], PeerId(0), now, &honest), [""; 0]);
    assert_eq!(
        net.clients[0].map(&other).unwrap().to_json(),
        json!({"a": 1, "c": 3})
    );
}

/// A server whose storage is a list of logs.
struct Stored {
    node: Node,
    disk: Vec<CoValueLog>,
}

impl Stored {
    fn new(disk: Vec<CoValueLog>) -> Self {
        let mut node = Node::new(true);
        let begins = |log: &CoValueLog| {
            let sessions = log.sessions().iter();
            let begins = sessions
                .filter_map(|(session, content)| fingerprint(log.header(), session, content.transactions()));
            begins.collect::<Vec<_>>()
        };
        node.recall(&Recalled {
            beginnings: disk.iter().flat_map(begins).collect(),
            ..Recalled::default()
        });
        node.peer_connected(PeerId(0), PeerRole::Client);
        Self { node, disk }
    }

    fn deliver(&mut self, now: Timestamp, message: &Value) -> Vec<String> {
        let message = Message::parse(&message.to_string()).unwrap();
        self.node.handle_message(now, PeerId(0), message);
        let mut refused = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Load(id) => {
                    let log = self.disk.iter().find(|log| *log.id() == id).cloned();
                    self.node.handle_loaded(now, &id, log);
                }
                Output::Refused { reason, .. } => refused.push(reason),
                _ => {}
            }
        }
        refused
    }
}

#[test]
fn a_copied_session_is_refused_though_its_original_is_only_in_storage() {
    let mut net = Net::new(2, 116);
    let (_, map) = shared(&mut net, &[Role::Writer]);
    let (_, other) = shared(&mut net, &[Role::Writer]);
    let (now, writer) = (net.now, secret(&net, 1));
    let log = vec![in_clear(now, &[set("b", 1)]), in_clear(now, &[set("b", 2)])];
    let original = session(&writer, &net.clients[1], &map, 1, log);
    let mut copy = original.clone();
    copy["id"] = json!(other);

    let mut server = Stored::new(Vec::new());
    for id in [&map, &other] {
        for piece in net.clients[0].export(id) {
            let message = serde_json::to_value(Message::Content(Box::new(piece))).unwrap();
            assert_eq!(server.deliver(now, &message), [""; 0]);
        }
    }
    assert_eq!(server.deliver(now, &original), [""; 0]);
    server.disk = server.node.values().iter().cloned().collect();
    assert!(server.node.forget(&map));
    let refused = server.deliver(now, &copy);
    assert!(refused[0].contains("copy"), "{refused:?}");
    assert!(!server.node.has(&map), "nobody needs it for that");
    assert_eq!(server.deliver(now, &original), [""; 0]);

    // Another run knows it from its storage.
    let mut server = Stored::new(server.disk);
    let refused = server.deliver(now, &copy);
    assert!(refused[0].contains("copy"), "{refused:?}");
    assert!(!server.node.has(&map));
    assert_eq!(server.deliver(now, &original), [""; 0]);
}

/// Delivers one of the vector's cases that the reference lets through; returns whether anything came of it.
fn counts(name: &str) -> bool {
    let vector = vector("invalid");
    let id: CoId = text(&vector, "groupID").parse().unwrap();
    let case = items(&vector, "groupCases")
        .iter()
        .find(|case| case["name"] == name);
    let mut receiver = crate::support::Receiver::acting_for(&vector, "alice");
    receiver.node.set_max_future_millis(u64::MAX);
    receiver.deliver(&vector["base"]);
    receiver.deliver(&vector["groupBase"]);
    let alice = account_id(&vector, "alice");
    let state = |node: &mut Node| {
        let role = node.role_of(&alice, &id);
        (role, node.group(&id).unwrap().version())
    };
    let before = state(&mut receiver.node);
    receiver.deliver(&case.unwrap()["extra"]);
    let after = state(&mut receiver.node);
    assert_eq!(after.0, Some(Role::Admin), "{name}");
    let group = receiver.node.group(&id).unwrap();
    before.1 != after.1 || group.get("everyone").is_some()
}

#[test]
fn an_invite_lowers_nobody() {
    assert!(!counts("readerInvite turns the admin into a reader"));
    assert!(counts("invite gives its role"));
}

#[test]
fn an_invite_opens_nothing_to_everyone() {
    assert!(!counts("writerInvite opens the group to everyone"));
}

#[test]
fn an_invite_hands_no_keys_to_members_it_did_not_make() {
    assert!(!counts("readerInvite overwrites the admin's key revelation"));
}

#[test]
fn parents_that_lead_back_to_a_group_do_not_count() {
    let mut net = Net::new(1, 104);
    let groups: Vec<CoId> = (0..3)
        .map(|_| net.run(0, |node, cx| node.create_group(cx).unwrap()))
        .collect();
    let (admin, me) = (secret(&net, 0), net.account(0));
    for (child, parent) in [(0, 1), (1, 2), (2, 0), (1, 1)] {
        let now = net.now;
        let claim = in_clear(now, &[set(&format!("parent_{}", groups[parent]), "extend")]);
        let message = session(
            &admin,
            &net.clients[0],
            &groups[child],
            10 + child as u64 * 3 + parent as u64,
            vec![claim],
        );
        assert_eq!(deliver(&mut net.clients[0], PeerId(0), now, &message), [""; 0]);
        net.now = Timestamp(now.0 + 1);
    }
    let node = &mut net.clients[0];
    let parents = |node: &mut Node, group: usize| node.group(&groups[group]).unwrap().parents().count();
    assert_eq!([0, 1, 2].map(|group| parents(node, group)), [1, 1, 0]);
    for group in &groups {
        assert_eq!(node.role_of(&me, group), Some(Role::Admin));
    }
}

#[test]
fn a_long_chain_of_parents_is_walked_without_end_or_overflow() {
    let mut net = Net::new(1, 105);
    let groups: Vec<CoId> = (0..500)
        .map(|_| net.run(0, |node, cx| node.create_group(cx).unwrap()))
        .collect();
    let admin = secret(&net, 0);
    for (index, pair) in groups.windows(2).enumerate() {
        let now = net.now;
        let claim = in_clear(now, &[set(&format!("parent_{}", pair[1]), "extend")]);
        let message = session(&admin, &net.clients[0], &pair[0], index as u64, vec![claim]);
        deliver(&mut net.clients[0], PeerId(0), now, &message);
    }
    let me = net.account(0);
    assert_eq!(net.clients[0].role_of(&me, &groups[0]), Some(Role::Admin));
}

#[test]
fn known_meta_tells_nothing_of_the_changes_it_is_encrypted_with() {
    let mut net = Net::new(1, 106);
    let (_, map) = shared(&mut net, &[]);
    let meta = json!({"fww": "a rather long key that everybody knows"});
    let secret_text = "nobody must know";
    net.run(0, |node, cx| {
        let changes = [set("b", secret_text)];
        node.write(cx, &map, &changes, Privacy::Private, Some(&meta))
            .unwrap();
    });
    let node = &mut net.clients[0];
    while node.poll_output().is_some() {}
    let log = node.log(&map).unwrap();
    let transaction = log.sessions()[0].transactions().last().unwrap();
    let Transaction::Private(tx) = transaction else {
        panic!("not private")
    };
    let bytes = |text: &str| from_base64(text.strip_prefix("encrypted_U").unwrap()).unwrap();
    let (changes, hidden) = (bytes(&tx.encrypted_changes), bytes(tx.meta.as_ref().unwrap()));
    let known = meta.to_string();
    // What whoever knows the meta learns of the changes.
    let learnt = changes.iter().zip(&hidden).zip(known.bytes());
    let learnt: Vec<u8> = learnt
        .map(|((change, hidden), known)| change ^ hidden ^ known)
        .collect();
    assert_eq!(String::from_utf8(learnt).unwrap().trim(), "");
    assert_eq!(
        node.map(&map).unwrap().to_json(),
        json!({"a": 1, "b": secret_text})
    );
}

#[test]
fn a_value_that_comes_back_without_our_writes_is_not_written_to() {
    let mut net = Net::new(1, 107);
    let (_, map) = shared(&mut net, &[]);
    net.settle();
    let early: Vec<Content> = net.clients[0].export(&map);
    net.run(0, |node, cx| {
        node.write(cx, &map, &[set("a", 2)], Privacy::Private, None)
            .unwrap();
    });
    net.settle();
    assert!(net.clients[0].forget(&map));
    for piece in early {
        net.clients[0].import(NOW, piece).unwrap();
    }
    let write = |net: &mut Net| {
        net.run(0, |node, cx| {
            node.write(cx, &map, &[set("a", 3)], Privacy::Private, None)
        })
    };
    assert_eq!(write(&mut net), Err(WriteError::Rewound(map.clone())));
    // With all of it, it is.
    for piece in net.server.export(&map) {
        net.clients[0].import(NOW, piece).unwrap();
    }
    assert_eq!(write(&mut net), Ok(()));
    assert_eq!(net.clients[0].map(&map).unwrap().to_json(), json!({"a": 3}));
}

#[test]
fn a_value_that_is_not_confirmed_does_not_leave_memory() {
    let mut net = Net::new(1, 108);
    let (_, map) = shared(&mut net, &[]);
    net.run(0, |node, cx| {
        node.write(cx, &map, &[set("a", 2)], Privacy::Private, None)
            .unwrap();
    });
    while net.clients[0].poll_output().is_some() {}
    assert!(!net.clients[0].forget(&map), "the server has not confirmed it");
}

/// What a client's account writes into a value by hand, in sessions of a size each.
fn fill(
    net: &mut Net,
    client: usize,
    id: &CoId,
    sessions: usize,
    size: usize,
) -> Vec<Result<(), ReceiveError>> {
    let (author, now) = (secret(net, client), net.now);
    let results = (0..sessions).map(|index| {
        let changes = [set("x", "x".repeat(size))];
        let message = session(
            &author,
            &net.clients[client],
            id,
            index as u64,
            vec![in_clear(now, &changes)],
        );
        let Message::Content(content) = Message::parse(&message.to_string()).unwrap() else {
            panic!("no content")
        };
        net.server.import(now, *content)
    });
    results.collect()
}

#[test]
fn who_has_no_part_in_a_group_cannot_fill_its_values() {
    let mut net = Net::new(2, 109);
    let (group, map) = shared(&mut net, &[]);
    net.load(1, &map);
    for id in [&map, &group] {
        let results = fill(&mut net, 1, id, 12, MAX_OUTSIDER_BYTES / 10);
        assert!(
            results[0].is_ok(),
            "a little is kept: their role may only not have arrived yet"
        );
        let refused = |result: &Result<(), _>| matches!(result, Err(ReceiveError::TooMuchOfOutsiders { .. }));
        assert!(refused(&results[11]));
        let stored: usize = results.iter().filter(|result| result.is_ok()).count();
        assert!(stored <= 10, "{stored}");
    }
    // Its members write on.
    net.run(0, |node, cx| {
        let long = "y".repeat(2 * MAX_OUTSIDER_BYTES);
        node.write(cx, &map, &[set("b", long)], Privacy::Private, None)
            .unwrap();
    });
    net.settle();
    assert_eq!(net.server.known_state(&map), net.clients[0].known_state(&map));
}

#[test]
fn who_has_no_part_in_a_group_cannot_fill_its_values_with_sessions() {
    let mut net = Net::new(2, 110);
    let (_, map) = shared(&mut net, &[]);
    net.load(1, &map);
    let results = fill(&mut net, 1, &map, MAX_OUTSIDER_SESSIONS + 2, 1);
    let kept = results.iter().filter(|result| result.is_ok()).count();
    assert!(kept <= MAX_OUTSIDER_SESSIONS, "{kept}");
    assert!(kept >= MAX_OUTSIDER_SESSIONS - 2, "{kept}");
}

#[test]
fn members_by_any_way_may_write_without_that_bound() {
    let mut net = Net::new(4, 111);
    let (group, map) = shared(&mut net, &[Role::Writer]);
    // One is a member of a parent, one by an invite.
    let parent = net.run(0, |node, cx| {
        let parent = node.create_group(cx).unwrap();
        node.extend(cx, &group, &parent, Mapping::Extend).unwrap();
        parent
    });
    let inherits = net.account(2);
    net.load(0, inherits.as_co_id());
    net.run(0, |node, cx| {
        node.add_member(cx, &parent, &inherits, Role::Writer).unwrap()
    });
    let invite = net.run(0, |node, cx| {
        node.create_invite(cx, &group, Role::Writer).unwrap()
    });
    net.settle();
    net.load(3, &group);
    net.run(3, |node, cx| node.accept_invite(cx, &group, &invite).unwrap());
    net.settle();
    for client in 1..4 {
        net.load(client, &map);
        let results = fill(&mut net, client, &map, 12, MAX_OUTSIDER_BYTES / 10);
        assert!(results.iter().all(Result::is_ok), "{client}: {results:?}");
    }
}

#[test]
fn a_sealed_key_that_is_not_in_its_place_is_ignored() {
    let mut net = Net::new(2, 114);
    let (group, map) = shared(&mut net, &[Role::Writer]);
    let (bob, alice) = (net.account(1), secret(&net, 0));
    let view = net.clients[0].group(&group).unwrap();
    let key = format!("{}_for_{bob}", view.read_key().unwrap());
    let sealed = view.get_text(&key).unwrap().to_owned();
    net.now = Timestamp(net.now.0 + 1);
    let at = net.now;
    // The very value, in another place; and something that was never sealed.
    for (seed, value) in [(1, sealed.as_str()), (2, "sealed_UAAAA")] {
        let copy = session(
            &alice,
            &net.clients[0],
            &group,
            seed,
            vec![in_clear(at, &[set(&key, value)])],
        );
        let mut node = newcomer(&mut net, 1, &map);
        assert_eq!(deliver(&mut node, PeerId(0), at, &copy), [""; 0]);
        assert_eq!(node.group(&group).unwrap().get_text(&key), Some(value));
        let genuine = content(&mut net, 0, &map);
        assert_eq!(deliver(&mut node, PeerId(0), at, &genuine), [""; 0]);
        assert_eq!(node.map(&map).unwrap().to_json(), json!({"a": 1}));
    }
}

#[test]
fn a_parent_whose_way_back_is_dated_later_is_refused() {
    let mut net = Net::new(1, 115);
    let [a, b] = [(), ()].map(|()| net.run(0, |node, cx| node.create_group(cx).unwrap()));
    let before = net.now;
    net.now = Timestamp(before.0 + 200_000);
    net.run(0, |node, cx| node.extend(cx, &b, &a, Mapping::Extend).unwrap());
    net.now = before;
    let refused = net.run(0, |node, cx| node.extend(cx, &a, &b, Mapping::Extend));
    assert_eq!(refused, Err(WriteError::InvalidParent(b)));
}
