//! What values were, and how they became what they are.

use jazz::{FileInfo, ListAction, Role, Timestamp};
use serde_json::{Value, json};

use crate::support::{note, offline, shared};

/// A moment between what was written before and what is written after.
fn moment() -> Timestamp {
    let now = Timestamp::now();
    while Timestamp::now() <= Timestamp(now.0 + 1) {
        std::thread::yield_now();
    }
    Timestamp(now.0 + 1)
}

#[tokio::test]
async fn fields_remember_their_values_and_authors() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let map = alice.create(&group, note("one")).unwrap();
    let same = bob.load(&map.reference()).await.unwrap();
    moment();
    same.update(|note| note.tag = Some("bob's".into())).unwrap();
    moment();
    same.update(|note| note.tag = None).unwrap();
    same.update(|note| note.likes = 1).unwrap();
    let mut changes = map.subscribe();
    changes.wait_for(|note| note.likes == 1).await.unwrap().unwrap();
    let history = map.history("tag").unwrap();
    let values: Vec<Option<Value>> = history.iter().map(|edit| edit.value.clone()).collect();
    assert_eq!(values, [Some(json!("bob's")), None]);
    assert!(
        history
            .iter()
            .all(|edit| edit.edit.account() == Some(bob.account_id()))
    );
    assert!(history[0].edit.at < history[1].edit.at);
    let text = map.history("text").unwrap();
    assert_eq!(text.len(), 1);
    assert_eq!(text[0].edit.account(), Some(alice.account_id()));
    assert_eq!(map.history("edited_at"), map.history("editedAt"));

    let record = alice.create_record(&group, [("k", 1)]).unwrap();
    record.insert("k", &2).unwrap();
    record.remove("k").unwrap();
    let history = record.history("k").unwrap();
    let values: Vec<Option<Value>> = history.into_iter().map(|edit| edit.value).collect();
    assert_eq!(values, [Some(json!(1)), Some(json!(2)), None]);
}

#[tokio::test]
async fn items_remember_what_was_put_in_and_taken_out() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let list = node.create_list(&group, ["a".to_owned()]).unwrap();
    list.set(0, &"b".to_owned()).unwrap();
    let steps: Vec<(ListAction, Value)> = list
        .history()
        .unwrap()
        .into_iter()
        .map(|edit| (edit.action, edit.value))
        .collect();
    let expected = [
        (ListAction::Insert, json!("a")),
        (ListAction::Insert, json!("b")),
        (ListAction::Remove, json!("a")),
    ];
    assert_eq!(steps, expected);
    let text = node.create_text(&group, "hé").unwrap();
    text.remove(1..2).unwrap();
    let last = text.history().unwrap().pop().unwrap();
    assert_eq!((last.action, last.value), (ListAction::Remove, json!("é")));
    assert_eq!(last.edit.account(), Some(node.account_id()));
}

#[tokio::test]
async fn every_kind_of_value_can_be_seen_as_it_was() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let early = Timestamp(1_000);
    let map = alice.create(&group, note("one")).unwrap();
    let record = alice.create_record(&group, [("k", 1)]).unwrap();
    let list = alice.create_list(&group, [1]).unwrap();
    let feed = alice.create_feed(&group, [1]).unwrap();
    let text = alice.create_text(&group, "one").unwrap();
    let file = alice.start_file(&group, FileInfo::new("x/y")).unwrap();
    let then = moment();
    map.update(|note| note.text = "two".into()).unwrap();
    record.insert("k", &2).unwrap();
    list.push(&2).unwrap();
    feed.push(&2).unwrap();
    text.push_str(" two").unwrap();
    file.write_from(&b"bytes"[..]).await.unwrap();
    let vector = alice.create_vector(&group, &[1.0]).unwrap();
    group.remove_member(bob.account_id()).await.unwrap();

    assert_eq!(map.at(then).unwrap().text, "one");
    assert_eq!(record.at(then).unwrap()["k"], 1);
    assert_eq!(list.at(then).unwrap(), [1]);
    assert_eq!(feed.at(then).unwrap().len(), 1);
    assert_eq!(text.at(then).unwrap(), "one");
    assert!(!file.at(then).unwrap().is_complete);
    assert!(vector.at(then).is_err());
    assert_eq!(vector.at(moment()).unwrap(), [1.0]);
    assert_eq!(group.members_at(then).unwrap().len(), 2);
    assert_eq!(group.members().unwrap().len(), 1);
    assert!(alice.account().at(then).unwrap().profile.is_some());

    // Before there was anything.
    assert!(map.at(early).is_err());
    assert_eq!(list.at(early).unwrap(), [0; 0]);
    assert_eq!(text.at(early).unwrap(), "");
    assert_eq!(group.members_at(early).unwrap(), []);
}
