//! Several writes that take effect together.

use jazz::{LoadError, Role, WriteError};

use crate::support::{Note, SOON, board, note, offline, shared};

#[tokio::test]
async fn children_are_linked_before_they_exist_elsewhere() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let page = board(&alice, &group, &[]);
    let (list, record) = {
        let page = page.get().unwrap();
        (
            alice.loaded(&page.notes).unwrap(),
            alice.loaded(&page.by_name).unwrap(),
        )
    };
    let child = alice
        .transaction(|tx| {
            let parent = tx.create(&group, note("parent"))?;
            let child = tx.create(
                &group,
                Note {
                    parent: Some(parent.reference()),
                    ..note("child")
                },
            )?;
            tx.push(&list, &parent.reference())?;
            tx.push(&list, &child.reference())?;
            tx.insert(&record, "child", &child.reference())?;
            tx.update(&page, |page| page.pinned = Some(child.reference()))?;
            Ok(child)
        })
        .unwrap();
    assert_eq!(child.get().unwrap().text, "child");
    assert_eq!(list.len().unwrap(), 2);
    alice.wait_for_sync(SOON).await.unwrap();
    let seen = bob
        .load_deep(&page.reference(), 3)
        .await
        .unwrap()
        .complete()
        .unwrap();
    let pinned = bob.loaded(&seen.get().unwrap().pinned.unwrap()).unwrap();
    let parent = bob.loaded(&pinned.get().unwrap().parent.unwrap()).unwrap();
    assert_eq!(parent.get().unwrap().text, "parent");
}

#[tokio::test]
async fn an_error_writes_nothing() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let list = node.create_list(&group, [1]).unwrap();
    let mut created = None;
    let result: Result<(), _> = node.transaction(|tx| {
        created = Some(tx.create(&group, note("orphan"))?);
        tx.update(&map, |note| note.likes = 9)?;
        tx.push(&list, &2)?;
        Err(WriteError::aborted("changed my mind"))
    });
    assert_eq!(
        result.unwrap_err().to_string(),
        "the transaction was given up: changed my mind"
    );
    let orphan = created.unwrap();
    assert_eq!(orphan.get(), Err(LoadError::Unavailable(orphan.id().clone())));
    assert_eq!((map.get().unwrap().likes, list.len().unwrap()), (0, 1));
}

#[tokio::test]
async fn one_refused_write_refuses_all() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let foreign = alice.create(&group, note("alice's")).unwrap();
    let foreign = bob.load(&foreign.reference()).await.unwrap();
    let group_of_bob = bob.create_group().unwrap();
    let own = bob.create(&group_of_bob, note("bob's")).unwrap();
    let list = bob.create_list(&group_of_bob, [1]).unwrap();
    let result = bob.transaction(|tx| {
        tx.update(&own, |note| note.likes = 1)?;
        tx.update(&foreign, |note| note.likes = 1)
    });
    assert!(
        matches!(
            result,
            Err(WriteError::NotAllowed {
                role: Some(Role::Reader),
                ..
            })
        ),
        "{result:?}"
    );
    assert_eq!(own.get().unwrap().likes, 0);
    let result = bob.transaction(|tx| {
        tx.update(&own, |note| note.likes = 2)?;
        tx.remove_at(&list, 0)?;
        tx.remove_at(&list, 0)
    });
    assert!(
        matches!(result, Err(WriteError::OutOfBounds { index: 0, len: 0 })),
        "{result:?}"
    );
    let result = bob.transaction(|tx| {
        tx.update(&own, |note| note.likes = 3)?;
        tx.update(&own, |note| note.text = "x".repeat(2 << 20))
    });
    assert!(matches!(result, Err(WriteError::TooLarge(_))), "{result:?}");
    assert_eq!((own.get().unwrap(), list.len().unwrap()), (note("bob's"), 1));
}

#[tokio::test]
async fn staged_changes_are_seen_inside() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let old = node
        .create(
            &group,
            Note {
                tag: Some("t".into()),
                ..note("old")
            },
        )
        .unwrap();
    let list = node.create_list(&group, ["a".to_owned()]).unwrap();
    let (made, before) = node
        .transaction(|tx| {
            let made = tx.create(&group, note("made"))?;
            tx.update(&made, |note| note.likes += 1)?;
            tx.update(&made, |note| note.likes += 1)?;
            tx.update(&old, |note| note.tag = None)?;
            tx.update(&old, |note| assert_eq!(note.tag, None))?;
            assert_eq!(tx.get(&made)?.likes, 2);
            tx.insert_at(&list, 0, &"z".to_owned())?;
            tx.push(&list, &"b".to_owned())?;
            tx.push(&list, &"c".to_owned())?;
            tx.set_at(&list, 1, &"A".to_owned())?;
            tx.remove_at(&list, 0)?;
            Ok((made, old.get()?))
        })
        .unwrap();
    assert_eq!(
        before.tag.as_deref(),
        Some("t"),
        "outside nothing is seen before the end"
    );
    assert_eq!(
        made.get().unwrap(),
        Note {
            likes: 2,
            ..note("made")
        }
    );
    assert_eq!(old.get().unwrap().tag, None);
    assert_eq!(list.items().unwrap().concat(), "Abc");
}

#[tokio::test]
async fn new_lists_and_records_can_be_filled_at_once() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let (list, record) = node
        .transaction(|tx| {
            let list = tx.create_list(&group, [1])?;
            tx.push(&list, &2)?;
            let record = tx.create_unique_record(&group, "record", [("a", list.reference())])?;
            tx.insert(&record, "b", &list.reference())?;
            tx.remove(&record, "a")?;
            Ok((list, record))
        })
        .unwrap();
    assert_eq!(list.items().unwrap(), [1, 2]);
    assert_eq!(record.keys().unwrap(), ["b"]);
    let again = node.transaction(|tx| {
        let list = tx.create_list(&group, [0])?;
        tx.create_unique_record(&group, "record", [("a", list.reference())])
    });
    assert!(matches!(again, Err(WriteError::Exists(id)) if id == *record.id()));
}

#[tokio::test]
async fn a_subscriber_sees_a_transaction_whole() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let (a, b) = (
        node.create(&group, note("a")).unwrap(),
        node.create(&group, note("b")).unwrap(),
    );
    let mut changes = a.subscribe();
    changes.next().await.unwrap().unwrap();
    let writer = {
        let (a, b) = (a.clone(), b.clone());
        std::thread::spawn(move || {
            for _ in 0..50 {
                a.node()
                    .transaction(|tx| {
                        tx.update(&a, |note| note.likes += 1)?;
                        tx.update(&b, |note| note.likes += 1)
                    })
                    .unwrap();
            }
        })
    };
    loop {
        let seen = changes.next().await.unwrap().unwrap().likes;
        assert!(b.get().unwrap().likes >= seen, "b is written with a");
        if seen == 50 {
            break;
        }
    }
    writer.join().unwrap();
}
