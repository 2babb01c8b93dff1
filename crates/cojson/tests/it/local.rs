//! What a logged-in node does, seen by other nodes through a server.

use cojson::content::ContentError;
use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::header::{Uniqueness, ValueType};
use cojson::ids::{CoId, SessionId};
use cojson::message::Message;
use cojson::sync::Output;
use cojson::transaction::{Privacy, Transaction};
use cojson::values::{ReceiveError, Values};
use cojson::{NewValue, WriteError};
use serde_json::{Value, json};

use crate::support::{Net, set};

const PRIVATE: Privacy = Privacy::Private;

fn create_map(net: &mut Net, client: usize, group: &CoId, init: Vec<Value>) -> CoId {
    net.run(client, |node, cx| {
        node.create(cx, NewValue::new(ValueType::CoMap, group.clone(), init))
            .unwrap()
    })
}

fn write(net: &mut Net, client: usize, map: &CoId, key: &str, value: &str) -> Result<(), WriteError> {
    net.run(client, |node, cx| {
        node.write(cx, map, &[set(key, value)], PRIVATE, None)
    })
}

fn seen(net: &mut Net, client: usize, map: &CoId) -> Value {
    net.settle();
    net.clients[client].map(map).unwrap().to_json()
}

/// A group of client 0 with a map, both known to the server.
fn group_with_map(net: &mut Net) -> (CoId, CoId) {
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let map = create_map(net, 0, &group, vec![set("first", "0")]);
    net.settle();
    (group, map)
}

fn add(net: &mut Net, group: &CoId, client: usize, role: Role) {
    let account = net.account(client);
    net.load(0, account.as_co_id());
    net.run(0, |node, cx| node.add_member(cx, group, &account, role).unwrap());
}

#[test]
fn members_read_and_write_by_their_role() {
    let mut net = Net::new(4, 1);
    let (group, map) = group_with_map(&mut net);
    let roles = [Role::Writer, Role::Reader, Role::WriteOnly];
    for (client, role) in (1..).zip(roles) {
        add(&mut net, &group, client, role);
    }
    for (client, role) in (1..).zip(roles) {
        net.load(client, &map);
        assert_eq!(net.clients[client].my_role(&map), Some(role));
        let written = write(&mut net, client, &map, role.as_str(), "x");
        assert_eq!(written.is_ok(), role.can_write(), "{written:?}");
    }
    let all = json!({"first": "0", "writer": "x", "writeOnly": "x"});
    for reader in [0, 1, 2] {
        assert_eq!(seen(&mut net, reader, &map), all);
    }
    assert_eq!(seen(&mut net, 3, &map), json!({"writeOnly": "x"}));
    assert_eq!(net.server.map(&map).unwrap().to_json(), json!({}));
}

#[test]
fn who_is_removed_reads_the_past_and_writes_nothing_more() {
    let mut net = Net::new(3, 2);
    let (group, map) = group_with_map(&mut net);
    add(&mut net, &group, 1, Role::Writer);
    add(&mut net, &group, 2, Role::WriteOnly);
    net.load(1, &map);
    net.load(2, &map);
    let removed = net.account(1);
    net.run(0, |node, cx| node.remove_member(cx, &group, &removed).unwrap());
    write(&mut net, 0, &map, "first", "1").unwrap();
    net.settle();
    write(&mut net, 2, &map, "blind", "x").unwrap();
    assert_eq!(seen(&mut net, 1, &map), json!({"first": "0"}));
    assert_eq!(seen(&mut net, 0, &map), json!({"first": "1", "blind": "x"}));
    assert_eq!(
        write(&mut net, 1, &map, "more", "x"),
        Err(WriteError::NotAllowed(group))
    );
}

#[test]
fn invites_give_their_role_to_whoever_holds_them() {
    for role in [
        Role::Reader,
        Role::Writer,
        Role::WriteOnly,
        Role::Manager,
        Role::Admin,
    ] {
        let mut net = Net::new(3, 3);
        let (group, map) = group_with_map(&mut net);
        // Somebody who only writes is there already: their writing must be readable too.
        add(&mut net, &group, 2, Role::WriteOnly);
        net.load(2, &map);
        write(&mut net, 2, &map, "blind", "x").unwrap();
        let invite = net.run(0, |node, cx| node.create_invite(cx, &group, role).unwrap());
        net.load(1, &map);
        net.run(1, |node, cx| node.accept_invite(cx, &group, &invite).unwrap());
        net.settle();
        let account = net.account(1);
        assert_eq!(net.clients[0].role_of(&account, &group), Some(role));
        let expected = if role.can_read() {
            json!({"first": "0", "blind": "x"})
        } else {
            json!({})
        };
        assert_eq!(seen(&mut net, 1, &map), expected, "{role}");
        if role.can_write() {
            write(&mut net, 1, &map, "by", "invite").unwrap();
            assert_eq!(seen(&mut net, 0, &map)["by"], "invite");
        }
        // A second acceptance changes nothing.
        let before = net.clients[1].known_state(&group);
        net.run(1, |node, cx| node.accept_invite(cx, &group, &invite).unwrap());
        net.settle();
        assert_eq!(net.clients[1].known_state(&group), before);
    }
}

#[test]
fn a_revoked_invite_is_worth_nothing() {
    let mut net = Net::new(2, 4);
    let (group, map) = group_with_map(&mut net);
    let invite = net.run(0, |node, cx| {
        node.create_invite(cx, &group, Role::Writer).unwrap()
    });
    let agent = cojson::secrets::AgentSecret::from_seed(&invite).id().clone();
    net.run(0, |node, cx| node.revoke_invite(cx, &group, &agent).unwrap());
    net.load(1, &map);
    let accepted = net.run(1, |node, cx| node.accept_invite(cx, &group, &invite));
    assert_eq!(accepted, Err(WriteError::NotAllowed(group)));
}

#[test]
fn members_of_a_parent_are_members_until_it_is_revoked() {
    let mut net = Net::new(3, 5);
    let (child, map) = group_with_map(&mut net);
    let parent = net.run(0, |node, cx| node.create_group(cx).unwrap());
    add(&mut net, &parent, 1, Role::Reader);
    add(&mut net, &parent, 2, Role::Writer);
    net.run(0, |node, cx| {
        node.extend(cx, &child, &parent, Mapping::Extend).unwrap()
    });
    for client in [1, 2] {
        net.load(client, &map);
        assert_eq!(seen(&mut net, client, &map), json!({"first": "0"}));
    }
    // Removed from the parent: the child's key changes too.
    let removed = net.account(1);
    net.run(0, |node, cx| node.remove_member(cx, &parent, &removed).unwrap());
    write(&mut net, 0, &map, "first", "1").unwrap();
    assert_eq!(seen(&mut net, 1, &map), json!({"first": "0"}));
    assert_eq!(seen(&mut net, 2, &map), json!({"first": "1"}));
    net.run(0, |node, cx| node.revoke_extend(cx, &child, &parent).unwrap());
    write(&mut net, 0, &map, "first", "2").unwrap();
    assert_eq!(seen(&mut net, 2, &map), json!({"first": "1"}));
    assert_eq!(net.clients[2].my_role(&map), None);
}

#[test]
fn a_parent_that_one_is_no_member_of_gets_the_keys_sealed() {
    let mut net = Net::new(3, 6);
    let (child, map) = group_with_map(&mut net);
    let parent = net.run(1, |node, cx| node.create_group(cx).unwrap());
    let account = net.account(2);
    net.load(1, account.as_co_id());
    net.run(1, |node, cx| {
        node.add_member(cx, &parent, &account, Role::Reader).unwrap()
    });
    net.load(0, &parent);
    net.run(0, |node, cx| {
        node.extend(cx, &child, &parent, Mapping::As(Role::Writer))
            .unwrap()
    });
    for client in [1, 2] {
        net.load(client, &map);
        assert_eq!(seen(&mut net, client, &map), json!({"first": "0"}));
    }
    write(&mut net, 2, &map, "by", "inherited writer").unwrap();
    assert_eq!(seen(&mut net, 0, &map)["by"], "inherited writer");
    // A rotation of the child reaches them as well.
    add(&mut net, &child, 1, Role::Reader);
    let removed = net.account(1);
    net.run(0, |node, cx| node.remove_member(cx, &child, &removed).unwrap());
    write(&mut net, 0, &map, "first", "1").unwrap();
    assert_eq!(seen(&mut net, 2, &map)["first"], "1");
}

#[test]
fn groups_cannot_inherit_from_themselves() {
    let mut net = Net::new(1, 7);
    let (a, _) = group_with_map(&mut net);
    let b = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let c = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let extend = |net: &mut Net, child: &CoId, parent: &CoId| {
        net.run(0, |node, cx| node.extend(cx, child, parent, Mapping::Extend))
    };
    assert_eq!(
        extend(&mut net, &a, &a),
        Err(WriteError::InvalidParent(a.clone()))
    );
    extend(&mut net, &a, &b).unwrap();
    extend(&mut net, &b, &c).unwrap();
    assert_eq!(
        extend(&mut net, &c, &a),
        Err(WriteError::InvalidParent(a.clone()))
    );
    let account = net.account(0).as_co_id().clone();
    assert_eq!(
        extend(&mut net, &a, &account),
        Err(WriteError::InvalidParent(account.clone()))
    );
}

#[test]
fn everybody_reads_and_writes_as_long_as_they_may() {
    let mut net = Net::new(2, 8);
    let (group, map) = group_with_map(&mut net);
    let everyone = |net: &mut Net, role| net.run(0, |node, cx| node.set_everyone(cx, &group, role).unwrap());
    everyone(&mut net, Some(EveryoneRole::Writer));
    net.load(1, &map);
    write(&mut net, 1, &map, "by", "anybody").unwrap();
    assert_eq!(net.server.map(&map).unwrap().to_json(), json!({"first": "0"}));
    net.settle();
    assert_eq!(
        net.server.map(&map).unwrap().to_json(),
        json!({"first": "0", "by": "anybody"})
    );
    everyone(&mut net, Some(EveryoneRole::WriteOnly));
    write(&mut net, 0, &map, "first", "1").unwrap();
    net.settle();
    write(&mut net, 1, &map, "blind", "x").unwrap();
    assert_eq!(
        seen(&mut net, 1, &map),
        json!({"first": "0", "by": "anybody", "blind": "x"})
    );
    assert_eq!(
        seen(&mut net, 0, &map),
        json!({"first": "1", "by": "anybody", "blind": "x"})
    );
    everyone(&mut net, None);
    net.settle();
    assert_eq!(
        write(&mut net, 1, &map, "more", "x"),
        Err(WriteError::NotAllowed(group.clone()))
    );
}

#[test]
fn a_command_that_fails_writes_nothing() {
    let mut net = Net::new(3, 9);
    let (group, map) = group_with_map(&mut net);
    add(&mut net, &group, 1, Role::Writer);
    net.load(1, &map);
    let (writer, stranger) = (net.account(1), net.account(2));
    net.load(1, stranger.as_co_id());
    let before = net.clients[1].known_state(&group);
    net.run(1, |node, cx| {
        let refused = Err(WriteError::NotAllowed(group.clone()));
        assert_eq!(node.add_member(cx, &group, &stranger, Role::Reader), refused);
        assert_eq!(node.set_everyone(cx, &group, Some(EveryoneRole::Reader)), refused);
        assert_eq!(node.add_member(cx, &group, &writer, Role::Admin), refused);
        assert!(node.create_invite(cx, &group, Role::Reader).is_err());
        let large = [set("a", "x".repeat(1 << 20))];
        let written = node.write(cx, &map, &large, Privacy::Private, None);
        assert!(matches!(written, Err(WriteError::TooLarge(_))));
    });
    net.settle();
    assert_eq!(net.clients[1].known_state(&group), before);
    // Somebody whose account isn't loaded can't be given keys.
    let unknown = net.account(2);
    let added = net.run(0, |node, cx| node.add_member(cx, &group, &unknown, Role::Reader));
    assert!(matches!(added, Err(WriteError::Content(_))), "{added:?}");
}

#[test]
fn unique_values_are_found_by_what_makes_them_unique() {
    let mut net = Net::new(1, 10);
    let (group, _) = group_with_map(&mut net);
    let new = || NewValue {
        uniqueness: Some(Uniqueness::from("settings")),
        init_meta: Some(json!({"fww": "init"})),
        ..NewValue::new(ValueType::CoMap, group.clone(), vec![set("a", 1)])
    };
    let id = net.run(0, |node, cx| node.create(cx, new()).unwrap());
    let expected = cojson::header::Header::unique(ValueType::CoMap, group.clone(), None, "settings".into());
    assert_eq!(id, *expected.id());
    assert_eq!(
        net.run(0, |node, cx| node.create(cx, new())),
        Err(WriteError::Exists(id.clone()))
    );
    assert_eq!(seen(&mut net, 0, &id), json!({"a": 1}));
}

#[test]
fn many_writes_are_signed_once() {
    let mut net = Net::new(1, 11);
    let (_, map) = group_with_map(&mut net);
    for count in 0..100 {
        write(&mut net, 0, &map, "count", &count.to_string()).unwrap();
    }
    let session = net.clients[0].session().unwrap().clone();
    assert!(!net.clients[0].log(&map).unwrap().sessions()[&session].is_signed());
    let mut sent = 0;
    while let Some(output) = net.clients[0].poll_output() {
        sent += usize::from(matches!(
            output,
            Output::Send {
                message: Message::Content(_),
                ..
            }
        ));
    }
    assert_eq!(sent, 1);
    assert!(net.clients[0].log(&map).unwrap().sessions()[&session].is_signed());
}

#[test]
fn a_list_is_edited_by_position() {
    let mut net = Net::new(1, 12);
    let (group, _) = group_with_map(&mut net);
    let list = net.run(0, |node, cx| {
        let changes = Default::default();
        node.create(
            cx,
            NewValue {
                init: None,
                ..NewValue::new(ValueType::CoList, group.clone(), changes)
            },
        )
        .unwrap()
    });
    let mut edit = |change: &dyn Fn(&cojson::content::ListView) -> Vec<Value>| {
        net.run(0, |node, cx| {
            let changes = change(node.list(&list).unwrap());
            node.write(cx, &list, &changes, PRIVATE, None).unwrap();
            node.list(&list).unwrap().to_json()
        })
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::from(*text)).collect::<Vec<_>>();
    edit(&|list| list.push_changes(texts(&["a", "b", "c"])));
    edit(&|list| list.push_changes(texts(&["d", "e"])));
    edit(&|list| list.insert_changes(0, texts(&["x", "y"])));
    assert_eq!(
        edit(&|list| list.insert_changes(3, texts(&["i"]))),
        json!(["x", "y", "a", "i", "b", "c", "d", "e"])
    );
    assert_eq!(
        edit(&|list| vec![list.remove_change(0).unwrap()]),
        json!(["y", "a", "i", "b", "c", "d", "e"])
    );
    assert_eq!(
        edit(&|list| list.set_changes(6, "z".into()).unwrap()),
        json!(["y", "a", "i", "b", "c", "d", "z"])
    );
    assert_eq!(edit(&|list| list.push_changes(texts(&["end"])))[7], "end");
}

#[test]
fn deleted_values_show_nothing_and_take_nothing() {
    let mut net = Net::new(2, 13);
    let (group, map) = group_with_map(&mut net);
    add(&mut net, &group, 1, Role::Manager);
    net.load(1, &map);
    assert!(net.run(1, |node, cx| node.delete(cx, &map)).is_err());
    net.run(0, |node, cx| node.delete(cx, &map).unwrap());
    net.settle();
    for client in [0, 1] {
        assert!(net.clients[client].is_deleted(&map));
        assert!(net.clients[client].map(&map).is_err());
        assert!(write(&mut net, client, &map, "a", "b").is_err());
    }
}

#[test]
fn a_new_account_looks_as_others_expect() {
    let mut net = Net::new(1, 14);
    let id = net.account(0).as_co_id().clone();
    let node = &mut net.clients[0];
    let agent = node.credentials().unwrap().agent_secret.id().clone();
    let log = node.log(&id).unwrap();
    let changes = log.sessions().iter().flat_map(|(session, content)| {
        assert_eq!(session.author().as_str(), agent.as_str());
        content
            .transactions()
            .iter()
            .map(|transaction| match transaction {
                Transaction::Trusting(tx) => {
                    assert_eq!(tx.meta, None);
                    let changes: Value = serde_json::from_str(&tx.changes).unwrap();
                    changes[0]["key"].as_str().unwrap().to_owned()
                }
                Transaction::Private(_) => panic!("an account is in clear"),
            })
    });
    let keys: Vec<String> = changes.collect();
    let account = node.group(&id).unwrap();
    let read_key = account.read_key().unwrap();
    assert_eq!(
        keys,
        [
            agent.to_string(),
            format!("{read_key}_for_{agent}"),
            "readKey".into(),
            "profile".into()
        ]
    );
    let profile: CoId = account.get_text("profile").unwrap().parse().unwrap();
    assert_eq!(
        net.server.map(&profile).unwrap().to_json(),
        json!({"name": "client 0"})
    );
}

#[test]
fn our_sessions_cannot_be_passed_off_as_others() {
    let mut net = Net::new(2, 15);
    let (first, _) = group_with_map(&mut net);
    add(&mut net, &first, 1, Role::Admin);
    let second = net.run(0, |node, cx| node.create_group(cx).unwrap());
    net.settle();
    // Somebody who has never seen the session where it belongs.
    let mut values = Values::default();
    let account = net.account(0);
    for id in [account.as_co_id(), &second] {
        values.insert_log(net.server.log(id).unwrap().clone());
    }
    let before = values.get(&second).unwrap().known_state();
    let (session, content) = net.server.log(&first).unwrap().sessions().first().unwrap();
    let new_session = SessionId::random(account.clone().into(), &mut net.rng);
    for claimed in [session, &new_session] {
        let transactions = content.transactions().to_vec();
        let signature = content.signature().unwrap().clone();
        let have = values.get(&second).unwrap().session_len(claimed);
        let received = values.receive(net.now, &second, claimed, have as u64, transactions, signature);
        let expected = ReceiveError::Copied {
            id: first.clone(),
            session: session.clone(),
        };
        assert_eq!(received, Err(expected));
    }
    assert_eq!(values.get(&second).unwrap().known_state(), before);
}

#[test]
fn members_that_nobody_has_do_not_keep_keys_from_changing() {
    let mut net = Net::new(3, 16);
    let (group, map) = group_with_map(&mut net);
    add(&mut net, &group, 1, Role::Manager);
    net.load(1, &map);
    // The manager makes somebody a member whose account nobody can get.
    let elsewhere = Net::new(1, 99);
    let ghost = elsewhere.account(0);
    let log = elsewhere.clients[0].log(ghost.as_co_id()).unwrap().clone();
    net.clients[1].values_mut().insert_log(log);
    net.run(1, |node, cx| {
        node.add_member(cx, &group, &ghost, Role::Reader).unwrap()
    });
    net.clients[1].values_mut().remove(ghost.as_co_id());
    net.settle();
    let manager = net.account(1);
    let remove = |net: &mut Net| net.run(0, |node, cx| node.remove_member(cx, &group, &manager));
    let missing = WriteError::Content(ContentError::NotLoaded(ghost.as_co_id().clone()));
    assert_eq!(remove(&mut net), Err(missing));
    net.clients[0].request(ghost.as_co_id());
    net.settle();
    remove(&mut net).unwrap();
    write(&mut net, 0, &map, "first", "1").unwrap();
    assert_eq!(seen(&mut net, 1, &map), json!({"first": "0"}));
}

#[test]
fn a_transaction_that_is_no_json_keeps_its_place_and_shows_nothing() {
    let mut net = Net::new(1, 17);
    let (_, map) = group_with_map(&mut net);
    let session = net.clients[0].session().unwrap().clone();
    let secret = net.clients[0].credentials().unwrap().agent_secret;
    let mut log = net.server.log(&map).unwrap().clone();
    // JavaScript writes lone surrogates, which no Rust string holds.
    for changes in [
        r#"[{"op":"set","key":"a","value":"\ud800"}]"#,
        r#"[{"op":"set","key":"b","value":1}]"#,
        "{",
    ] {
        let tx = json!({"privacy": "trusting", "madeAt": net.now, "changes": changes});
        log.append_own(&session, serde_json::from_value(tx).unwrap());
    }
    log.sign_own(&session, secret.signer());
    let content = &log.sessions()[&session];
    let (transactions, signature) = (
        content.transactions().to_vec(),
        content.signature().unwrap().clone(),
    );
    net.server
        .values_mut()
        .receive(net.now, &map, &session, 0, transactions, signature)
        .unwrap();
    assert_eq!(net.server.map(&map).unwrap().to_json(), json!({"b": 1}));
    assert_eq!(net.server.known_state(&map).sessions[&session], 4);
}

#[test]
fn an_account_answers_for_its_agent_until_it_is_revoked() {
    let mut net = Net::new(1, 18);
    let account = net.account(0).as_co_id().clone();
    let agent = net.clients[0].credentials().unwrap().agent_secret.id().clone();
    let now = net.now;
    let node = &mut net.clients[0];
    assert_eq!(node.role_at(account.as_str(), &account, now), Some(Role::Admin));
    assert_eq!(node.role_at(agent.as_str(), &account, now), Some(Role::Admin));
    net.run(0, |node, cx| node.revoke_invite(cx, &account, &agent).unwrap());
    let now = net.now;
    assert_eq!(net.clients[0].role_at(agent.as_str(), &account, now), None);
}
