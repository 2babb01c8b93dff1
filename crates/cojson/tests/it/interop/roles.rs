//! Who may do what: every pair of an actor's role and an action, answered by the real packages and by us.

use std::collections::HashMap;

use cojson::Cx;
use cojson::ids::CoId;
use cojson::transaction::Privacy;
use serde_json::{Value, json};

use super::judge::judge;
use crate::support::{NOW, Receiver, Seeded, items, text};

/// What we refuse although the reference takes it, and why (protocol, 14.4).
fn stricter(row: &Value) -> Option<&'static str> {
    let role = text(row, "actor").strip_suffix("Invite")?;
    match text(row, "action") {
        "set everyone" => Some("an invite makes members and opens no group"),
        action if action.starts_with("reveal") => {
            Some("an invite hands out keys to those alone whom it made members")
        }
        "set" | "set itself" if row["value"] == role && !is_below(text(row, "target"), role) => {
            Some("an invite gives its role only to who has less, and to no invite")
        }
        _ => None,
    }
}

/// Whether somebody who has `state` has less than `role`.
fn is_below(state: &str, role: &str) -> bool {
    let rank = |role: &str| {
        ["writeOnly", "reader", "writer", "manager", "admin"]
            .iter()
            .position(|other| *other == role)
    };
    match state {
        "none" | "revoked" => true,
        invite if invite.ends_with("Invite") => false,
        state => rank(state) < rank(role),
    }
}

#[test]
fn every_role_and_every_use() {
    let Some(judge) = judge() else { return };
    let table = judge.ask(&["roles"], &Value::Null);
    let mut wrong = changes_of_groups(&table);
    wrong.extend(uses_of_values(&table));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The rows in which we differ from the reference without a reason, or don't differ although there is one.
fn changes_of_groups(table: &Value) -> Vec<String> {
    let mut receiver = Receiver::anonymous();
    assert_eq!(receiver.deliver(&table["content"]), [""; 0]);
    let rows = items(table, "rows");
    assert!(rows.len() > 1500, "{}", rows.len());
    let mut groups = HashMap::new();
    let mut wrong = Vec::new();
    for row in rows {
        let id = text(row, "group");
        let edits = groups.entry(id).or_insert_with(|| edits(&mut receiver, id));
        let edit = (text(row, "id").to_owned(), row["at"].as_u64().unwrap());
        let ours = edits.get(text(row, "key")) == Some(&edit);
        let expected = row["valid"] == true && stricter(row).is_none();
        if ours != expected {
            wrong.push(format!("{row}: ours {ours}"));
        }
    }
    wrong
}

/// For each key of a group who has set its value, and when.
fn edits(receiver: &mut Receiver, id: &str) -> HashMap<String, (String, u64)> {
    let id: CoId = id.parse().unwrap();
    let group = receiver.node.group(&id).unwrap();
    let keys = group.entries().map(|(key, _)| key.to_owned());
    keys.map(|key| {
        let edit = group.edit(&key).unwrap();
        (key, (edit.by.to_string(), edit.at.0))
    })
    .collect()
}

fn uses_of_values(table: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in items(table, "uses") {
        let mut receiver = Receiver::logged_in(text(row, "account"), text(row, "secret"));
        receiver.deliver(&table["content"]);
        assert_eq!(receiver.deliver(&row["content"]), [""; 0]);
        let map: CoId = text(row, "map").parse().unwrap();
        let reads = receiver.node.map(&map).unwrap().get("secret") == Some(&json!(1));
        let mut rng = Seeded::new(1);
        let mut cx = Cx {
            now: NOW,
            rng: &mut rng,
        };
        let set = json!({"op": "set", "key": "own", "value": 1});
        let writes = receiver
            .node
            .write(&mut cx, &map, &[set], Privacy::Trusting, None)
            .is_ok();
        let deletes = receiver.node.delete(&mut cx, &map).is_ok();
        let ours = json!({"reads": reads, "writes": writes, "deletes": deletes});
        let theirs = json!({"reads": row["reads"], "writes": row["writes"], "deletes": row["deletes"]});
        if ours != theirs {
            wrong.push(format!("{}: ours {ours}, theirs {theirs}", row["way"]));
        }
    }
    wrong
}
