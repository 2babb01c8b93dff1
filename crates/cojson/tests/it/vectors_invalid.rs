//! Vectors of what must be refused or must not count. Where a case notes a weakness of the reference, what counts here is
//! what the note asks for.

use cojson::ids::{CoId, SessionId};
use cojson::transaction::Timestamp;
use serde_json::{Value, json};

use crate::support::{Receiver, account_id, items, text, vector};

/// A node with the base of the vector, on which any far future is allowed.
fn base(vector: &Value) -> Receiver {
    let mut receiver = Receiver::acting_for(vector, "alice");
    receiver.node.set_max_future_millis(u64::MAX);
    assert_eq!(receiver.deliver(&vector["base"]), [""; 0]);
    receiver
}

#[test]
fn maps() {
    let vector = vector("invalid");
    let id = text(&vector, "mapID");
    for case in items(&vector, "mapCases") {
        let name = text(case, "name");
        let mut receiver = base(&vector);
        let before = receiver.map(id);
        let after_removal = name.contains("after the removal") || name.contains("equal to the removal");
        if after_removal {
            receiver.deliver(&vector["contentAfterRemoval"]);
        }
        let relabelled = name.contains("relabelled");
        if relabelled {
            // These replace content that the base has already: they are delivered to somebody who hasn't.
            receiver = Receiver::acting_for(&vector, "alice");
            let mut others = vector["base"].as_array().unwrap().clone();
            others.retain(|message| message["id"] != id);
            receiver.deliver(&Value::Array(others));
        }
        let refused: Vec<String> = items(case, "extra")
            .iter()
            .flat_map(|message| receiver.deliver(message))
            .collect();
        if relabelled {
            assert!(!refused.is_empty(), "{name}");
            assert!(!receiver.node.has(&id.parse().unwrap()), "{name}");
            continue;
        }
        let expected = &case["expected"];
        if name.starts_with("failed signature first") {
            // The reference is stuck; the correct content must count.
            assert_ne!(receiver.map(id), before, "{name}");
            continue;
        }
        assert_eq!(receiver.map(id), expected["map"], "{name}");
        let known = json!(receiver.node.known_state(&id.parse().unwrap()).sessions);
        assert_eq!(known, expected["knownSessions"], "{name}");
        assert_eq!(
            refused.len(),
            items(expected, "addErrors").len(),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn the_far_future_is_refused_by_default() {
    let vector = vector("invalid");
    let mut cases = items(&vector, "mapCases").iter();
    let case = cases
        .find(|case| text(case, "name").contains("far in the future"))
        .unwrap();
    let mut receiver = Receiver::acting_for(&vector, "alice");
    receiver.deliver(&vector["base"]);
    let before = receiver.map(text(&vector, "mapID"));
    assert_eq!(receiver.deliver(&case["extra"]).len(), 1);
    assert_eq!(receiver.map(text(&vector, "mapID")), before);
}

#[test]
fn groups() {
    let vector = vector("invalid");
    let id: CoId = text(&vector, "groupID").parse().unwrap();
    // Refused here although valid there: invites that do more than give their role to who has less.
    let stricter = [
        "itself as parent",
        "readerInvite turns the admin into a reader",
        "writerInvite opens the group to everyone",
        "readerInvite overwrites the admin's key revelation",
    ];
    for case in items(&vector, "groupCases") {
        let name = text(case, "name");
        let mut receiver = base(&vector);
        receiver.deliver(&vector["groupBase"]);
        let before = entries(&mut receiver, &id);
        let refused = receiver.deliver(&case["extra"]);
        // The ids in two cases are none, so their content means nothing here; they are stored all the same.
        assert_eq!(refused, [""; 0], "{name}");
        let expected = &case["expected"];
        let is_valid = expected["valid"] == true && !stricter.contains(&name);
        let now = entries(&mut receiver, &id);
        if is_valid {
            assert_ne!(now, before, "{name}");
            for (member, role) in expected["roles"].as_object().unwrap() {
                let member = if member == "everyone" {
                    member.clone()
                } else {
                    account_id(&vector, member).to_string()
                };
                let found = receiver.node.role_at(&member, &id, Timestamp::MAX);
                assert_eq!(json!(found.map(|role| role.as_str())), *role, "{name}: {member}");
            }
        } else {
            assert_eq!(now, before, "{name}");
        }
    }
}

fn entries(receiver: &mut Receiver, id: &CoId) -> Value {
    let group = receiver.node.group(id).unwrap();
    group
        .entries()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

#[test]
fn replayed_logs() {
    let vector = vector("invalid");
    let case = &vector["replayAcrossCoValues"];
    let mallory = account_id(&vector, "mallory");
    let g2: CoId = text(case, "g2").parse().unwrap();
    let mut receiver = base(&vector);
    receiver.deliver(&case["g2Content"]);
    // The log is known from where it belongs (a stand-in with the same author, as the vector lacks the header).
    let mut genuine = case["replay"].clone();
    let home = vector["base"]
        .as_array()
        .unwrap()
        .iter()
        .find(|message| message["id"] == vector["groupID"]);
    genuine["id"] = home.unwrap()["id"].clone();
    assert_eq!(receiver.deliver(&genuine), [""; 0]);
    let refused = receiver.deliver(&case["replay"]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("copy"), "{refused:?}");
    assert_eq!(receiver.node.role_of(&mallory, &g2), None);
    let sessions = receiver.node.known_state(&g2).sessions;
    let replayed = case["replay"]["new"].as_object().unwrap().keys().next().unwrap();
    assert!(!sessions.contains_key(&replayed.parse::<SessionId>().unwrap()));
}
