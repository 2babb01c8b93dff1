//! Feeds.

use jazz::{LoadError, Role, SchemaError};
use serde_json::{Value, json};

use crate::support::{note, offline, shared};

#[tokio::test]
async fn items_are_known_by_account_and_session() {
    let (server, alice, bob, group) = shared(Role::Writer).await;
    let feed = alice.create_feed(&group, ["a1".to_owned()]).unwrap();
    let same = bob.load(&feed.reference()).await.unwrap();
    same.extend([&"b1".to_owned(), &"b2".to_owned()]).unwrap();
    let mut changes = feed.subscribe();
    let items = changes.wait_for(|items| items.len() == 3).await.unwrap().unwrap();
    let values: Vec<&str> = items.iter().map(|item| item.value.as_str()).collect();
    assert_eq!(values, ["a1", "b1", "b2"]);
    assert_eq!(items[1].edit.account(), Some(bob.account_id()));
    assert_eq!(items[1].session, items[2].session);

    assert_eq!(feed.last_by(bob.account_id()).unwrap().unwrap().value, "b2");
    assert_eq!(feed.items_by(alice.account_id()).unwrap().len(), 1);

    // Another run of Bob's node appends in a session of its own.
    let again = jazz::Node::builder()
        .local_server(&server)
        .account(bob.credentials().unwrap())
        .connect()
        .await
        .unwrap();
    let feed = again.load(&feed.reference()).await.unwrap();
    feed.push(&"b3".to_owned()).unwrap();
    assert_eq!(feed.per_session().unwrap().len(), 3);
    let of_bob = feed.items_by(bob.account_id()).unwrap();
    let values: Vec<&str> = of_bob.iter().map(|item| item.value.as_str()).collect();
    assert_eq!(values, ["b1", "b2", "b3"]);
    assert_eq!(feed.last_by(bob.account_id()).unwrap().unwrap().value, "b3");
    assert_eq!((feed.len().unwrap(), feed.is_empty().unwrap()), (4, false));
}

#[tokio::test]
async fn an_empty_feed_can_be_found_by_what_it_is_for() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let feed = node
        .get_or_create_unique_feed::<u32>(&group, "numbers")
        .await
        .unwrap();
    assert!(feed.is_empty().unwrap());
    feed.push(&1).unwrap();
    let same = node
        .get_or_create_unique_feed::<u32>(&group, "numbers")
        .await
        .unwrap();
    assert_eq!(same.items().unwrap()[0].value, 1);
}

#[tokio::test]
async fn linked_values_are_loaded_and_odd_items_are_named() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let first = alice.create(&group, note("first")).unwrap();
    let feed = alice.create_feed(&group, [first.reference()]).unwrap();
    let raw = alice
        .load(&jazz::Ref::<jazz::CoFeed<Value>>::new(feed.id().clone()))
        .await
        .unwrap();
    raw.push(&json!(7)).unwrap();
    let loaded = bob.load_deep(&feed.reference(), 1).await.unwrap();
    let [failed] = loaded.failed() else {
        panic!("{:?}", loaded.failed())
    };
    assert!(failed.path.ends_with(".1"), "{failed}");
    assert!(matches!(failed.error, LoadError::Schema(_)));
    assert_eq!(
        bob.loaded(&first.reference()).unwrap().get().unwrap(),
        note("first")
    );
    let Err(LoadError::Schema(error)) = loaded.value().items() else {
        panic!("an item isn't a reference")
    };
    assert!(SchemaError::path(&error).ends_with(".1"), "{error}");
    let each = loaded.value().try_items().unwrap();
    assert_eq!(each[0].as_ref().unwrap().value, first.reference());
    assert_eq!(each[1].as_ref().unwrap_err().id(), Some(feed.id()));
}

#[tokio::test]
async fn a_transaction_makes_feeds_and_appends_to_them() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let old = node.create_feed(&group, [1]).unwrap();
    let new = node
        .transaction(|tx| {
            let new = tx.create_feed(&group, [10])?;
            tx.append(&new, &11)?;
            tx.append(&old, &2)?;
            Ok(new)
        })
        .unwrap();
    let values = |feed: &jazz::Co<jazz::CoFeed<i32>>| -> Vec<i32> {
        feed.items().unwrap().iter().map(|item| item.value).collect()
    };
    assert_eq!((values(&old), values(&new)), (vec![1, 2], vec![10, 11]));
}
