//! What we say about a case. The same report as `report` in `interop/format/report.mjs`.

use std::collections::BTreeMap;

use cojson::content::{ContentError, Edit};
use cojson::crypto::{self, Nonce};
use cojson::header::Header;
use cojson::ids::CoId;
use cojson::json::stable_stringify;
use cojson::secrets::{AgentSecret, KeySecret, SecretSeed};
use cojson::transaction::Timestamp;
use serde_json::{Map, Value, json};

use crate::support::{Receiver, items, text, unhex};

pub fn report(case: &Value) -> Value {
    let accounts = items(case, "accounts");
    let mut views = Map::new();
    for account in accounts {
        let mut receiver = Receiver::logged_in(text(account, "id"), text(account, "secret"));
        views.insert(text(account, "name").to_owned(), contents(&mut receiver, case));
    }
    let mut nobody = Receiver::anonymous();
    views.insert("nobody".to_owned(), contents(&mut nobody, case));
    let groups: Map<String, Value> = items(case, "groups")
        .iter()
        .map(|id| id.as_str().unwrap())
        .map(|id| (id.to_owned(), group(&mut nobody, id, case)))
        .collect();
    // Of what was deleted each keeps what it likes.
    let known: BTreeMap<String, Value> = ids(case)
        .filter(|id| !nobody.node.is_deleted(id))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|id| (id.to_string(), json!(nobody.node.known_state(&id).sessions)))
        .collect();
    json!({
        "views": views,
        "groups": groups,
        "known": known,
        "tampered": items(case, "tampered").iter().map(|message| tampered(case, message)).collect::<Value>(),
        "primitives": items(case, "primitives").iter().map(primitive).collect::<Value>(),
    })
}

fn ids(case: &Value) -> impl Iterator<Item = CoId> {
    let messages = items(case, "content").iter();
    messages.map(|message| text(message, "id").parse().unwrap())
}

fn times(case: &Value) -> impl Iterator<Item = Timestamp> {
    items(case, "times")
        .iter()
        .map(|time| Timestamp(time.as_u64().unwrap()))
}

fn contents(receiver: &mut Receiver, case: &Value) -> Value {
    assert_eq!(receiver.deliver(&case["content"]), [""; 0], "{}", case["seed"]);
    let values = items(case, "values").iter();
    values
        .map(|value| {
            let id: CoId = text(value, "id").parse().unwrap();
            let content = content(receiver, &id, text(value, "kind"), case);
            let content = match content {
                Err(ContentError::Deleted(_)) => json!("deleted"),
                content => content.unwrap(),
            };
            (id.to_string(), content)
        })
        .collect()
}

fn content(receiver: &mut Receiver, id: &CoId, kind: &str, case: &Value) -> Result<Value, ContentError> {
    Ok(match kind {
        "map" => {
            let map = receiver.node.map(id)?;
            let edits: Value = map
                .keys()
                .map(|key| (key.to_owned(), edit(map.edit(key))))
                .collect();
            let now = map.to_json();
            let then: Result<Value, _> = times(case)
                .map(|at| receiver.node.map_at(id, at).map(|map| map.to_json()))
                .collect();
            json!({"now": now, "then": then?, "edits": edits})
        }
        "list" => receiver.node.list(id)?.to_json(),
        "text" => json!(receiver.node.list(id)?.to_text()),
        "stream" => receiver
            .node
            .stream(id)?
            .sessions()
            .filter(|(_, items)| !items.is_empty())
            .map(|(session, items)| {
                let values: Value = items.iter().map(|item| item.value.clone()).collect();
                (session.to_string(), values)
            })
            .collect(),
        kind => panic!("{kind}"),
    })
}

fn edit(edit: Option<Edit>) -> Value {
    let edit = edit.unwrap();
    json!([edit.by.as_str(), edit.at])
}

fn group(receiver: &mut Receiver, id: &str, case: &Value) -> Value {
    let id: CoId = id.parse().unwrap();
    let view = receiver.node.group(&id).unwrap();
    let entries: Map<String, Value> = view
        .entries()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    let edits: Value = entries
        .keys()
        .map(|key| (key.clone(), edit(view.edit(key))))
        .collect();
    let accounts = items(case, "accounts").iter();
    let members: Vec<(&str, &str)> = accounts
        .map(|account| (text(account, "name"), text(account, "id")))
        .chain([("everyone", "everyone")])
        .collect();
    let mut roles_at = |at| -> Value {
        let roles = members.iter().map(|(name, member)| {
            let role = receiver.node.role_at(member, &id, at);
            ((*name).to_owned(), json!(role.map(|role| role.as_str())))
        });
        roles.collect()
    };
    let roles: Value = times(case).map(&mut roles_at).collect();
    json!({"entries": entries, "edits": edits, "roles": roles})
}

/// How much of a message is taken that was changed on its way.
fn tampered(case: &Value, message: &Value) -> Value {
    let account = &items(case, "accounts")[0];
    let mut receiver = Receiver::logged_in(text(account, "id"), text(account, "secret"));
    let others = items(case, "content")
        .iter()
        .filter(|other| other["id"] != message["id"]);
    receiver.deliver(&others.cloned().collect());
    receiver.deliver(message);
    let id = text(message, "id").parse().unwrap();
    json!(receiver.node.known_state(&id).sessions)
}

/// All primitives are deterministic, so both sides must say the same.
fn primitive(input: &Value) -> Value {
    let secret = |name: &str| {
        let seed = unhex(text(input, name)).try_into().unwrap();
        AgentSecret::from_seed(&SecretSeed::from_bytes(seed))
    };
    let (secret, other) = (secret("seed"), secret("otherSeed"));
    let key: KeySecret = text(input, "key").parse().unwrap();
    let nonce = Nonce::of(&input["material"]);
    let stable = stable_stringify(&input["value"]);
    json!({
        "secureHash": crypto::secure_hash(&input["value"]).as_str(),
        "shortHash": crypto::short_hash(&input["value"]).as_str(),
        "id": Header::from_json(input["header"].clone()).unwrap().id(),
        "agent": secret.id().as_str(),
        "account": Header::account(secret.id()).id(),
        "signature": crypto::sign(secret.signer(), &input["value"]).as_str(),
        "encrypted": crypto::encrypt(&stable, &key, &nonce),
        "sealed": crypto::seal_key(&key, secret.sealer(), other.sealer().id(), &nonce),
        "groupSealer": key.group_sealer().id().as_str(),
        "stable": stable,
    })
}

/// Where two reports differ, each place with what we and they say. Numbers are compared as JavaScript knows them.
pub fn differences(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", ours, theirs, &mut found);
    found
}

fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => compare(&format!("{path}/{key}"), left, right, found),
                    (left, right) => found.push(format!("{path}/{key}: ours {left:?}, theirs {right:?}")),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}/{index}"), left, right, found);
            }
        }
        _ if stable_stringify(ours) == stable_stringify(theirs) => {}
        _ => found.push(format!("{path}: ours {ours}, theirs {theirs}")),
    }
}
