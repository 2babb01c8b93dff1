//! Vectors of maps, lists, streams, accounts and the layout that jazz-tools makes.

use cojson::content::ContentError;
use cojson::header::Header;
use cojson::ids::{Author, CoId};
use cojson::secrets::{AgentSecret, SecretSeed};
use cojson::transaction::Timestamp;
use serde_json::{Value, json};

use crate::support::{Receiver, account_id, assert_transactions, items, text, unhex, vector};

#[test]
fn maps() {
    let vector = vector("comap");
    let id = text(&vector, "mapID");
    for name in ["alice", "bob"] {
        let mut receiver = Receiver::acting_for(&vector, name);
        assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
        let transactions = items(&vector["expected"], "transactions");
        assert_transactions(&mut receiver, &id.parse().unwrap(), transactions);
        let mut expected = vector["expected"]["seenByBob"].clone();
        let map = receiver.map(id);
        // The reference doesn't order equal times of different sessions.
        assert!(map["tie"] == "bob" || map["tie"] == "alice session 2", "{map}");
        expected["tie"] = map["tie"].clone();
        assert_eq!(map, expected);
        for case in items(&vector, "atTime") {
            let at = Timestamp(case["t"].as_u64().unwrap());
            let map = receiver.node.map_at(&id.parse().unwrap(), at).unwrap();
            assert_eq!(map.to_json(), case["value"]);
        }
    }
    // A relay sees what isn't encrypted.
    let mut relay = Receiver::anonymous();
    relay.deliver(&vector["content"]);
    assert_eq!(relay.map(id), json!({"t": "in clear"}));
}

#[test]
fn edits_name_author_and_time() {
    let vector = vector("comap");
    let mut receiver = Receiver::acting_for(&vector, "alice");
    receiver.deliver(&vector["content"]);
    let map = receiver
        .node
        .map(&text(&vector, "mapID").parse().unwrap())
        .unwrap();
    let edit = map.edit("later wins").unwrap();
    assert_eq!(edit.by, Author::from(account_id(&vector, "bob")));
    assert_eq!(edit.at, Timestamp(1_750_000_000_130));
}

#[test]
fn lists() {
    let vector = vector("colist");
    let mut receiver = Receiver::acting_for(&vector, "bob");
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let id: CoId = text(&vector, "listID").parse().unwrap();
    let expected = &vector["expected"];
    let transactions = items(expected, "transactions");
    assert_transactions(&mut receiver, &id, transactions);
    // Alice's first edits, one by one.
    for (step, tx) in items(&vector, "trace").iter().zip(transactions) {
        let then = Timestamp(tx["madeAt"].as_u64().unwrap());
        let list = receiver.node.list_at(&id, then).unwrap();
        assert_eq!(list.to_json(), step["list"], "{}", step["what"]);
    }
    assert_eq!(receiver.list(id.as_str()), expected["list"]);
    let list = receiver.node.list(&id).unwrap();
    assert_eq!(list.len(), items(expected, "list").len());
    for (index, entry) in items(expected, "entries").iter().enumerate() {
        let item = list.get(index).unwrap();
        assert_eq!(*item.value, entry["value"]);
        assert_eq!(item.op.to_json(), entry["opID"]);
        assert_eq!(json!(item.edit.at), entry["madeAt"]);
    }
    let mut reversed = Receiver::acting_for(&vector, "alice");
    let mut content = vector["content"].clone();
    for message in content.as_array_mut().unwrap() {
        let sessions = message["new"].as_object().unwrap().clone();
        message["new"] = sessions.into_iter().rev().collect();
    }
    reversed.deliver(&content);
    assert_eq!(
        reversed.list(id.as_str()),
        expected["listWhenSessionsArriveInReverse"]
    );
}

#[test]
fn concurrent_list_writes_at_one_time_give_one_order_everywhere() {
    let vector = vector("colist");
    let tie = &vector["tie"];
    let mut seen = Vec::new();
    for order in [["alice", "bob"], ["bob", "alice"]] {
        let mut receiver = Receiver::acting_for(&vector, "alice");
        receiver.deliver(&vector["content"]);
        receiver.deliver(&tie["base"]);
        for name in order {
            receiver.deliver(&tie[name]);
            receiver.list(text(tie, "listID"));
        }
        seen.push(receiver.list(text(tie, "listID")));
    }
    assert_eq!(seen[0], seen[1]);
    assert!([&tie["aliceArrivesFirst"], &tie["bobArrivesFirst"]].contains(&&seen[0]));
}

#[test]
fn restricted_deletion() {
    let vector = vector("colist");
    let case = &vector["restrictDeletion"];
    let mut receiver = Receiver::acting_for(&vector, "alice");
    receiver.deliver(&vector["content"]);
    receiver.deliver(&case["content"]);
    assert_eq!(receiver.list(text(case, "listID")), case["expected"]);
}

#[test]
fn first_writer_wins() {
    let vector = vector("delete-and-branch");
    let case = &vector["firstWriterWins"];
    let id = text(case, "mapID");
    for order in [[0, 1], [1, 0]] {
        let mut receiver = Receiver::acting_for(&vector, "bob");
        receiver.deliver(&vector["content"]);
        for index in order {
            receiver.deliver(&case["content"][index]);
            receiver.map(id);
        }
        assert_eq!(receiver.map(id), case["expected"]);
        assert_transactions(&mut receiver, &id.parse().unwrap(), items(case, "transactions"));
    }
}

#[test]
fn deletions() {
    let vector = vector("delete-and-branch");
    let case = &vector["deleted"];
    let id: CoId = text(case, "mapID").parse().unwrap();
    for name in ["alice", "bob"] {
        let mut receiver = Receiver::acting_for(&vector, name);
        receiver.deliver(&vector["content"]);
        receiver.deliver(&case["contentBefore"]);
        let refused = receiver.deliver(&case["forgedByWriter"]);
        assert!(refused[0].contains("may not be deleted"), "{refused:?}");
        assert_eq!(receiver.map(id.as_str()), case["aliceIgnoresForgedDelete"]["map"]);
        receiver.deliver(&case["contentAfter"]);
        assert!(receiver.node.is_deleted(&id));
        assert_eq!(receiver.node.map(&id), Err(ContentError::Deleted(id.clone())));
        // Only the deletion is told, and nothing else is taken any more.
        let known = json!(receiver.node.known_state(&id));
        assert_eq!(known, case["knownStateAfter"]);
        receiver.deliver(&case["contentBefore"]);
        assert_eq!(json!(receiver.node.known_state(&id)), known);
    }
}

#[test]
fn branches() {
    let vector = vector("delete-and-branch");
    let case = &vector["branch"];
    let (source, branch): (CoId, CoId) = (
        text(case, "sourceID").parse().unwrap(),
        text(case, "branchID").parse().unwrap(),
    );
    let content = items(case, "content").clone();
    let reversed: Vec<Value> = content.iter().rev().cloned().collect();
    for content in [content, reversed] {
        let mut receiver = Receiver::acting_for(&vector, "bob");
        receiver.deliver(&vector["content"]);
        assert_eq!(receiver.deliver(&content.into()), [""; 0]);
        assert_transactions(&mut receiver, &source, items(case, "sourceTransactions"));
        assert_transactions(&mut receiver, &branch, items(case, "branchTransactions"));
        assert_eq!(receiver.map(branch.as_str()), case["branchBeforeMerge"]);
        assert_eq!(receiver.map(source.as_str()), case["sourceAfterMerge"]);
        let merge = &items(case, "sourceTransactions")[3];
        let before = Timestamp(merge["madeAt"].as_u64().unwrap() - 1);
        let then = receiver.node.map_at(&source, before).unwrap();
        assert_eq!(then.to_json(), case["sourceBeforeMerge"]);
        assert_eq!(receiver.node.branch_id(&source, "feature", None).unwrap(), branch);
    }
}

#[test]
fn accounts() {
    let vector = vector("account");
    let expected = &vector["expected"];
    let seed = SecretSeed::from_bytes(unhex(text(&vector, "secretSeedHex")).try_into().unwrap());
    let secret = AgentSecret::from_seed(&seed);
    assert_eq!(secret.expose(), text(&vector, "agentSecret"));
    let mut receiver = Receiver::logged_in(text(&vector, "accountID"), secret.expose());
    assert_eq!(receiver.deliver(&vector["content"]), [""; 0]);
    let account = receiver
        .node
        .group(&text(&vector, "accountID").parse().unwrap())
        .unwrap();
    let entries: Value = account
        .entries()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    assert_eq!(entries, expected["accountJSON"]);
    assert_eq!(account.get_text("profile"), Some(text(expected, "profileID")));
    assert_eq!(receiver.map(text(expected, "profileID")), expected["profileJSON"]);
    let mut anonymous = Receiver::anonymous();
    anonymous.deliver(&vector["content"]);
    assert_eq!(
        anonymous.map(text(expected, "profileID")),
        expected["profileSeenByAnonymousAgent"]
    );
}

#[test]
fn the_layout_of_jazz_tools() {
    let vector = vector("jazz-layout");
    let account = &vector["account"];
    let mut receiver = Receiver::logged_in(text(account, "accountID"), text(account, "agentSecret"));
    assert_eq!(receiver.deliver(&account["content"]), [""; 0]);
    let id: CoId = text(account, "accountID").parse().unwrap();
    let view = receiver.node.group(&id).unwrap();
    let entries: Value = view
        .entries()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    assert_eq!(entries, account["raw"]);
    let profile = text(&account["raw"], "profile").to_owned();
    assert_eq!(receiver.map(&profile), account["profile"]);
    // Owned by the account itself.
    assert_eq!(
        receiver.map(text(&account["profile"], "inbox")),
        account["inboxRoot"]
    );
    let owner = &vector["ownerGroup"];
    assert_eq!(receiver.deliver(&owner["content"]), [""; 0]);
    assert!(
        receiver
            .node
            .group(&text(owner, "id").parse().unwrap())
            .unwrap()
            .read_key()
            .is_some()
    );
    let mut headers = 0;
    check_headers(&vector["values"], &mut headers);
    assert!(headers > 15, "{headers}");
}

/// Checks every object that has an id and a header.
fn check_headers(value: &Value, count: &mut usize) {
    if let (Some(id), Some(header)) = (value.get("id").and_then(Value::as_str), value.get("header")) {
        assert_eq!(Header::from_json(header.clone()).unwrap().id().as_str(), id);
        *count += 1;
    }
    let members = value.as_object().into_iter().flat_map(|members| members.values());
    for member in members.chain(value.as_array().into_iter().flatten()) {
        check_headers(member, count);
    }
}
