//! Branches of values.

use cojson::content::ContentError;
use cojson::group::Role;
use cojson::header::{Kind, ValueType};
use cojson::ids::CoId;
use cojson::transaction::{Privacy, Timestamp};
use cojson::{NewValue, WriteError};
use serde_json::{Value, json};

use crate::support::{Net, set};

fn create(net: &mut Net, value_type: ValueType, group: &CoId, init: Vec<Value>) -> CoId {
    net.run(0, |node, cx| {
        node.create(cx, NewValue::new(value_type, group.clone(), init))
            .unwrap()
    })
}

fn write(net: &mut Net, client: usize, id: &CoId, changes: &[Value]) {
    net.run(client, |node, cx| {
        node.write(cx, id, changes, Privacy::Private, None).unwrap();
    });
}

fn branch(net: &mut Net, client: usize, id: &CoId, name: &str) -> CoId {
    net.run(client, |node, cx| node.create_branch(cx, id, name, None).unwrap())
}

fn merge(net: &mut Net, client: usize, branch: &CoId) {
    net.run(client, |node, cx| node.merge_branch(cx, branch).unwrap());
}

fn map(net: &mut Net, client: usize, id: &CoId) -> Value {
    net.settle();
    net.clients[client].map(id).unwrap().to_json()
}

fn list(net: &mut Net, client: usize, id: &CoId) -> Value {
    net.settle();
    net.clients[client].list(id).unwrap().to_json()
}

/// Appends to a list as one session after the other would.
fn push(net: &mut Net, client: usize, id: &CoId, item: &str) {
    let changes = net.clients[client]
        .list(id)
        .unwrap()
        .push_changes(vec![item.into()]);
    write(net, client, id, &changes);
}

#[test]
fn a_branch_starts_as_a_copy_and_is_merged_back() {
    let mut net = Net::new(2, 31);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let bob = net.account(1);
    net.load(0, bob.as_co_id());
    net.run(0, |node, cx| {
        node.add_member(cx, &group, &bob, Role::Writer).unwrap()
    });
    let source = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1), set("b", 1)]);
    let feature = branch(&mut net, 0, &source, "feature");
    write(&mut net, 0, &source, &[set("b", "main")]);
    write(&mut net, 0, &feature, &[set("a", "branch")]);
    net.load(1, &feature);
    write(&mut net, 1, &feature, &[set("c", "bob's")]);
    let in_branch = json!({"a": "branch", "b": 1, "c": "bob's"});
    for client in [0, 1] {
        assert_eq!(map(&mut net, client, &feature), in_branch);
        assert_eq!(map(&mut net, client, &source), json!({"a": 1, "b": "main"}));
    }
    merge(&mut net, 0, &feature);
    let merged = json!({"a": "branch", "b": "main", "c": "bob's"});
    for client in [0, 1] {
        assert_eq!(map(&mut net, client, &source), merged);
        assert_eq!(map(&mut net, client, &feature), in_branch);
    }
    // That Bob wrote it is what Alice says, so she is named.
    let alice = net.account(0);
    let edit = net.clients[1].map(&source).unwrap().edit("c").unwrap();
    assert_eq!(edit.by.account(), Some(&alice));

    // Merging again copies only what is new.
    let before = net.clients[0].known_state(&source);
    merge(&mut net, 0, &feature);
    assert_eq!(net.clients[0].known_state(&source), before);
    write(&mut net, 1, &feature, &[set("d", "late")]);
    net.settle();
    merge(&mut net, 0, &feature);
    assert_eq!(map(&mut net, 1, &source)["d"], "late");
    let len = |state: &cojson::log::KnownState| state.sessions.values().sum::<u64>();
    let after = net.clients[0].known_state(&source);
    assert_eq!(len(&after), len(&before) + 2);
}

#[test]
fn items_of_a_list_keep_their_places_when_they_are_merged() {
    let mut net = Net::new(1, 32);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let init = json!([{"op": "app", "value": "p", "after": "start"}]);
    let source = create(
        &mut net,
        ValueType::CoList,
        &group,
        init.as_array().unwrap().clone(),
    );
    let feature = branch(&mut net, 0, &source, "f");
    for item in ["r", "s"] {
        push(&mut net, 0, &feature, item);
    }
    push(&mut net, 0, &source, "main");
    assert_eq!(list(&mut net, 0, &feature), json!(["p", "r", "s"]));
    merge(&mut net, 0, &feature);
    // As the reference: written later and after the same item, `main` comes first.
    assert_eq!(list(&mut net, 0, &source), json!(["p", "main", "r", "s"]));
    // What is written after a merged item stays there, and a second merge doesn't repeat the first.
    push(&mut net, 0, &source, "t");
    push(&mut net, 0, &feature, "u");
    merge(&mut net, 0, &feature);
    assert_eq!(
        list(&mut net, 0, &source),
        json!(["p", "main", "r", "s", "u", "t"])
    );
    let branch_of_branch = branch(&mut net, 0, &feature, "deeper");
    push(&mut net, 0, &branch_of_branch, "v");
    let deep = json!(["p", "r", "s", "u", "v"]);
    assert_eq!(list(&mut net, 0, &branch_of_branch), deep);
    merge(&mut net, 0, &branch_of_branch);
    assert_eq!(list(&mut net, 0, &feature), deep);
}

#[test]
fn who_may_only_read_has_branches_of_their_own() {
    let mut net = Net::new(2, 33);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let bob = net.account(1);
    net.load(0, bob.as_co_id());
    net.run(0, |node, cx| {
        node.add_member(cx, &group, &bob, Role::Reader).unwrap()
    });
    let source = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1)]);
    net.load(1, &source);
    let refused = net.run(1, |node, cx| node.create_branch(cx, &source, "mine", None));
    assert_eq!(refused, Err(WriteError::NotAllowed(group.clone())));
    let own = net.run(1, |node, cx| node.create_group(cx).unwrap());
    let mine = net.run(1, |node, cx| {
        node.create_branch(cx, &source, "mine", Some(&own)).unwrap()
    });
    write(&mut net, 1, &mine, &[set("a", 2)]);
    assert_eq!(map(&mut net, 1, &mine), json!({"a": 2}));
    assert_eq!(map(&mut net, 0, &source), json!({"a": 1}));
    let refused = net.run(1, |node, cx| node.merge_branch(cx, &mine));
    assert_eq!(refused, Err(WriteError::NotAllowed(group)));
}

#[test]
fn nobody_can_merge_into_the_future_of_what_they_merge() {
    let mut net = Net::new(1, 34);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let source = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1)]);
    let session = net.clients[0].session().unwrap().clone();
    for meta in [
        json!({"mi": 7, "t": -1000, "s": session, "b": source}),
        json!({"mi": -7, "t": 1, "s": session}),
        json!({"mi": 1, "t": u64::MAX, "s": session}),
    ] {
        net.run(0, |node, cx| {
            node.write(cx, &source, &[set("a", "forged")], Privacy::Private, Some(&meta))
                .unwrap();
        });
    }
    assert_eq!(map(&mut net, 0, &source), json!({"a": 1}));
    let then = net.clients[0].map_at(&source, Timestamp(0)).unwrap();
    assert_eq!(then.to_json(), json!({}));
}

#[test]
fn files_have_no_branches() {
    let mut net = Net::new(1, 35);
    let group = net.run(0, |node, cx| node.create_group(cx).unwrap());
    let file = net.run(0, |node, cx| {
        let mut new = NewValue::new(ValueType::CoStream, group, vec![]);
        new.meta = json!({"type": "binary"}).as_object().cloned();
        node.create(cx, new).unwrap()
    });
    assert_eq!(net.clients[0].log(&file).unwrap().header().kind(), Kind::Binary);
    let refused = net.run(0, |node, cx| node.create_branch(cx, &file, "x", None));
    assert!(matches!(
        refused,
        Err(WriteError::Content(ContentError::WrongKind(..)))
    ));
}

#[test]
fn what_cannot_be_read_yet_is_merged_later() {
    let mut net = Net::new(2, 36);
    let bob = net.account(1);
    net.load(0, bob.as_co_id());
    let [group, of_branch] = [Role::Writer, Role::Reader].map(|role| {
        net.run(0, |node, cx| {
            let group = node.create_group(cx).unwrap();
            node.add_member(cx, &group, &bob, role).unwrap();
            group
        })
    });
    let source = create(&mut net, ValueType::CoMap, &group, vec![set("a", 1)]);
    let feature = net.run(0, |node, cx| {
        node.create_branch(cx, &source, "f", Some(&of_branch)).unwrap()
    });
    write(&mut net, 0, &feature, &[set("a", 2)]);
    // Bob may not read what comes now.
    net.run(0, |node, cx| node.remove_member(cx, &of_branch, &bob).unwrap());
    write(&mut net, 0, &feature, &[set("b", 3)]);
    net.load(1, &feature);
    net.load(1, &source);
    merge(&mut net, 1, &feature);
    assert_eq!(map(&mut net, 0, &source), json!({"a": 2}));

    net.run(0, |node, cx| {
        node.add_member(cx, &of_branch, &bob, Role::Reader).unwrap()
    });
    net.settle();
    merge(&mut net, 1, &feature);
    assert_eq!(map(&mut net, 0, &source), json!({"a": 2, "b": 3}));
}
