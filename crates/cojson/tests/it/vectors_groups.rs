//! Vectors of groups: roles, keys, parents, rotation, everybody.

use cojson::group::{EveryoneRole, Mapping, Role};
use cojson::ids::{AccountId, CoId};
use cojson::transaction::Timestamp;
use cojson::{Cx, Node};
use serde_json::{Value, json};

use crate::support::{NOW, Receiver, Seeded, account_id, items, text, vector};

fn role_text(role: Option<Role>) -> Value {
    json!(role.map(Role::as_str))
}

#[test]
fn roles_after_each_step() {
    let vector = vector("group");
    let mut receiver = Receiver::anonymous();
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let group: CoId = text(&vector, "groupID").parse().unwrap();
    for step in items(&vector, "steps") {
        let at = Timestamp(step["at"].as_u64().unwrap());
        for (name, expected) in step["roles"].as_object().unwrap() {
            let member = if name == "everyone" {
                name.clone()
            } else {
                account_id(&vector, name).to_string()
            };
            let role = receiver.node.role_at(&member, &group, at);
            assert_eq!(role_text(role), *expected, "{name} after {}", step["name"]);
        }
    }
    let view = receiver.node.group(&group).unwrap();
    let entries: Value = view
        .entries()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    assert_eq!(entries, vector["expected"]["groupJSON"]);
}

#[test]
fn what_each_member_sees() {
    let vector = vector("group");
    let id = text(&vector, "mapID");
    for (name, expected) in vector["expected"]["mapSeenBy"].as_object().unwrap() {
        let mut receiver = Receiver::acting_for(&vector, name);
        receiver.deliver(&vector["content"]);
        assert_eq!(receiver.map(id), *expected, "{name}");
    }
}

#[test]
fn public_groups() {
    let vector = vector("group");
    let case = &vector["everyone"];
    let mut receiver = Receiver::anonymous();
    receiver.deliver(&vector["content"]);
    receiver.deliver(&case["contentWhilePublic"]);
    assert_eq!(receiver.map(text(case, "mapID")), case["anonymousSees"]);
    receiver.deliver(&case["contentAfterRemoval"]);
    assert_eq!(
        receiver.map(text(case, "mapID")),
        case["anonymousSeesAfterRemoval"]
    );
}

#[test]
fn keys_sealed_for_a_parent_group() {
    let vector = vector("group");
    let case = &vector["groupSealer"];
    let mut receiver = Receiver::acting_for(&vector, "outsider");
    receiver.deliver(&vector["content"]);
    receiver.deliver(&case["content"]);
    assert_eq!(receiver.map(text(case, "mapID")), case["outsiderSees"]);
}

/// A node of a new account, and another account that it knows.
fn admin_and_member(seed: u64) -> (Node, AccountId) {
    let mut rng = Seeded::new(seed);
    let mut cx = Cx {
        now: NOW,
        rng: &mut rng,
    };
    let mut node = Node::new(false);
    let member = node.create_account(&mut cx, None, "member").unwrap().account_id;
    node.create_account(&mut cx, None, "admin").unwrap();
    (node, member)
}

#[test]
fn role_inheritance() {
    let vector = vector("role-inheritance");
    let (mut node, member) = admin_and_member(1);
    let mut rng = Seeded::new(2);
    let mut cx = Cx {
        now: NOW,
        rng: &mut rng,
    };
    let mut parents = std::collections::HashMap::new();
    for row in items(&vector, "rows") {
        let cell = |index: usize| row[index].as_str();
        let parent = parents.entry(cell(0).map(str::to_owned)).or_insert_with(|| {
            let parent = node.create_group(&mut cx).unwrap();
            give(&mut node, &mut cx, &parent, &member, cell(0));
            parent
        });
        let child = node.create_group(&mut cx).unwrap();
        give(&mut node, &mut cx, &child, &member, cell(2));
        if let Some(mapping) = cell(1) {
            let first = if mapping == "revoked" { "extend" } else { mapping };
            node.extend(&mut cx, &child, parent, first.parse::<Mapping>().unwrap())
                .unwrap();
            if mapping == "revoked" {
                node.revoke_extend(&mut cx, &child, parent).unwrap();
            }
        }
        assert_eq!(role_text(node.role_of(&member, &child)), row[3], "{row}");
    }
    for row in items(&vector, "everyone") {
        let group = node.create_group(&mut cx).unwrap();
        give(&mut node, &mut cx, &group, &member, row[0].as_str());
        let everyone = match row[1].as_str().unwrap() {
            "reader" => EveryoneRole::Reader,
            "writer" => EveryoneRole::Writer,
            _ => EveryoneRole::WriteOnly,
        };
        node.set_everyone(&mut cx, &group, Some(everyone)).unwrap();
        assert_eq!(role_text(node.role_of(&member, &group)), row[2], "{row}");
    }
}

fn give(node: &mut Node, cx: &mut Cx<'_>, group: &CoId, member: &AccountId, role: Option<&str>) {
    match role {
        None => {}
        Some("revoked") => {
            node.add_member(cx, group, member, Role::Reader).unwrap();
            node.remove_member(cx, group, member).unwrap();
        }
        Some(role) => node.add_member(cx, group, member, role.parse().unwrap()).unwrap(),
    }
}
