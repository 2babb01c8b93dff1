//! Values whose id follows from what they are for.

use jazz::{Node, Role, WriteError};

use crate::support::{Note, SOON, note, shared};

#[tokio::test]
async fn a_unique_value_is_found_by_its_marks() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    assert_eq!(alice.load_unique::<Note>(group.id(), "settings").await, Ok(None));
    let made = alice.create_unique(&group, "settings", note("a")).unwrap();
    assert_eq!(made.reference(), Node::unique_ref::<Note>(group.id(), "settings"));
    assert_eq!(
        alice.load_unique(group.id(), "settings").await.unwrap().as_ref(),
        Some(&made)
    );
    alice.wait_for_sync(SOON).await.unwrap();
    let found = bob
        .load_unique::<Note>(group.id(), "settings")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.get().unwrap(), note("a"));
    assert_eq!(bob.load_unique::<Note>(group.id(), "others").await, Ok(None));
    let again = alice.create_unique(&group, "settings", note("b"));
    assert!(matches!(again, Err(WriteError::Exists(id)) if id == *made.id()));
}

#[tokio::test]
async fn upsert_makes_or_changes() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let made = alice.upsert_unique(&group, "x", note("a")).await.unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let group_of_bob = bob.load_group(group.id()).await.unwrap();
    let changed = bob.upsert_unique(&group_of_bob, "x", note("b")).await.unwrap();
    assert_eq!(changed.id(), made.id());
    made.subscribe()
        .wait_for(|note| note.text == "b")
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn of_two_who_make_it_at_once_one_wins_everywhere() {
    let (server, alice, bob, group) = shared(Role::Writer).await;
    let group_of_bob = bob.load_group(group.id()).await.unwrap();
    let (of_alice, of_bob) = futures::join!(
        alice.get_or_create_unique(&group, "x", note("alice's")),
        bob.get_or_create_unique(&group_of_bob, "x", note("bob's")),
    );
    let (of_alice, of_bob) = (of_alice.unwrap(), of_bob.unwrap());
    assert_eq!(of_alice.id(), of_bob.id());
    alice.wait_for_sync(SOON).await.unwrap();
    bob.wait_for_sync(SOON).await.unwrap();
    let late = crate::support::client(&server, "Late").await;
    group.add_member(late.account_id(), Role::Reader).await.unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let winner = late
        .load_unique::<Note>(group.id(), "x")
        .await
        .unwrap()
        .unwrap()
        .get()
        .unwrap();
    of_alice
        .subscribe()
        .wait_for(|note| *note == winner)
        .await
        .unwrap()
        .unwrap();
    of_bob
        .subscribe()
        .wait_for(|note| *note == winner)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn empty_lists_and_records_can_be_unique() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let list = alice
        .get_or_create_unique_list::<u8>(&group, "list")
        .await
        .unwrap();
    let record = alice
        .get_or_create_unique_record::<u8>(&group, "record")
        .await
        .unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let group_of_bob = bob.load_group(group.id()).await.unwrap();
    let found = bob
        .get_or_create_unique_list::<u8>(&group_of_bob, "list")
        .await
        .unwrap();
    found.push(&1).unwrap();
    list.subscribe()
        .wait_for(|items| *items == [1])
        .await
        .unwrap()
        .unwrap();
    let found = bob
        .get_or_create_unique_record::<u8>(&group_of_bob, "record")
        .await
        .unwrap();
    found.insert("k", &1).unwrap();
    record
        .subscribe()
        .wait_for(|entries| entries.len() == 1)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_header_without_content_is_no_value() {
    let (_server, alice, _, group) = shared(Role::Writer).await;
    let reference = Node::unique_ref::<Note>(group.id(), "planted");
    alice.driver().with(|core, cx| {
        let new = cojson::NewValue {
            uniqueness: Some("planted".into()),
            init: None,
            ..cojson::NewValue::new(cojson::header::ValueType::CoMap, group.id().clone(), Vec::new())
        };
        assert_eq!(core.create(cx, new).unwrap(), *reference.id());
    });
    assert_eq!(alice.load_unique::<Note>(group.id(), "planted").await, Ok(None));
    let made = alice.upsert_unique(&group, "planted", note("a")).await.unwrap();
    assert_eq!((made.reference(), made.get().unwrap()), (reference, note("a")));
}
