//! Loading, alone and to a depth.

use std::time::Duration;

use jazz::{FailedLoad, LoadError, LocalServer, Node, Ref, Role};

use crate::support::{Note, SOON, board, client, note, offline, shared};

#[tokio::test]
async fn loads_end_in_typed_errors() {
    let (_server, _, bob, _) = shared(Role::Reader).await;
    let elsewhere = offline().await;
    let unknown = elsewhere
        .create(&elsewhere.create_group().unwrap(), note("a"))
        .unwrap();
    assert_eq!(
        bob.load(&unknown.reference()).await,
        Err(LoadError::Unavailable(unknown.id().clone()))
    );
    let alone = offline().await;
    assert_eq!(
        alone.load(&unknown.reference()).await,
        Err(LoadError::Unavailable(unknown.id().clone()))
    );
    let unreachable = Node::builder()
        .sync_server("ws://127.0.0.1:9")
        .create_account("Alice")
        .load_timeout(Duration::from_millis(1))
        .connect()
        .await
        .unwrap();
    assert_eq!(
        unreachable.load(&unknown.reference()).await,
        Err(LoadError::Timeout(unknown.id().clone()))
    );
    assert!(unreachable.wait_for_sync(Duration::from_millis(1)).await.is_err());
}

#[tokio::test]
async fn depth_says_how_far() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let parent = alice.create(&group, note("parent")).unwrap();
    let child = alice
        .create(
            &group,
            Note {
                parent: Some(parent.reference()),
                ..note("child")
            },
        )
        .unwrap();
    let page = board(&alice, &group, std::slice::from_ref(&child));
    alice.wait_for_sync(SOON).await.unwrap();
    let ids = page.get().unwrap();
    for (depth, expected) in [
        (0, [false; 3]),
        (1, [true, false, false]),
        (2, [true, true, false]),
        (3, [true; 3]),
    ] {
        let loaded = bob.load_deep(&page.reference(), depth).await.unwrap();
        assert_eq!(loaded.failed(), []);
        let here = [
            bob.loaded(&ids.notes).is_ok(),
            bob.loaded(&child.reference()).is_ok(),
            bob.loaded(&parent.reference()).is_ok(),
        ];
        assert_eq!(here, expected, "depth {depth}");
    }
}

#[tokio::test]
async fn each_item_that_fails_is_named() {
    let (server, alice, bob, group) = shared(Role::Reader).await;
    let private = alice.create_group().unwrap();
    let (open, secret) = (
        alice.create(&group, note("open")).unwrap(),
        alice.create(&private, note("secret")).unwrap(),
    );
    let page = board(&alice, &group, &[open.clone(), secret.clone()]);
    let list = alice.loaded(&page.get().unwrap().notes).unwrap();
    let elsewhere = offline().await;
    let lost = elsewhere
        .create(&elsewhere.create_group().unwrap(), note("lost"))
        .unwrap();
    list.push(&lost.reference()).unwrap();
    list.push(&Ref::new(list.id().clone())).unwrap();
    alice
        .loaded(&Ref::<jazz::CoList<u8>>::new(list.id().clone()))
        .unwrap()
        .push(&8)
        .unwrap();
    alice.wait_for_sync(SOON).await.unwrap();

    let loaded = bob.load_deep(&page.reference(), 2).await.unwrap();
    assert!(bob.loaded(&open.reference()).is_ok(), "the others are there");
    let failed: Vec<_> = loaded
        .failed()
        .iter()
        .map(|failed| (failed.path.as_str(), &failed.error))
        .collect();
    let wrong_kind = LoadError::WrongKind {
        id: list.id().clone(),
        expected: "map",
    };
    let [by_name, of_list @ ..] = &failed[..] else {
        panic!("{failed:?}")
    };
    // The record and the list both hold the secret one; each value is loaded once.
    assert_eq!(*by_name.1, LoadError::Unauthorised(secret.id().clone()));
    assert!(
        of_list.contains(&("notes.2", &LoadError::Unavailable(lost.id().clone()))),
        "{of_list:?}"
    );
    let schema = of_list
        .iter()
        .find(|(path, _)| *path == "notes.4")
        .expect("the number");
    assert!(matches!(schema.1, LoadError::Schema(_)), "{schema:?}");
    assert!(
        !of_list.contains(&("notes.3", &wrong_kind)),
        "a value that was met before is not loaded again"
    );
    assert!(loaded.complete().is_err());
    drop(server);
}

#[tokio::test]
async fn links_in_a_circle_end() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let a = alice.create(&group, note("a")).unwrap();
    let b = alice
        .create(
            &group,
            Note {
                parent: Some(a.reference()),
                ..note("b")
            },
        )
        .unwrap();
    a.update(|note| note.parent = Some(b.reference())).unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    bob.load_deep(&a.reference(), usize::MAX >> 1)
        .await
        .unwrap()
        .complete()
        .unwrap();
    assert_eq!(bob.loaded(&b.reference()).unwrap().get().unwrap().text, "b");
}

#[tokio::test]
async fn long_lists_are_loaded_whole() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let (page, list) = alice
        .transaction(|tx| {
            let list = tx.create_list(&group, Vec::new())?;
            for index in 0..600 {
                let note = tx.create(&group, note(&index.to_string()))?;
                tx.push(&list, &note.reference())?;
            }
            Ok((tx.create_record(&group, [("list", list.reference())])?, list))
        })
        .unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    bob.load_deep(&page.reference(), 2)
        .await
        .unwrap()
        .complete()
        .unwrap();
    let items = bob.loaded(&list.reference()).unwrap().items().unwrap();
    let texts: Vec<String> = items
        .iter()
        .map(|item| bob.loaded(item).unwrap().get().unwrap().text)
        .collect();
    assert_eq!(texts, (0..600).map(|index| index.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_written_offline_arrives_later() {
    let server = LocalServer::new();
    let (alice, bob) = (offline().await, client(&server, "Bob").await);
    let group = alice.create_group().unwrap();
    group.set_everyone(Role::Reader).unwrap();
    let map = alice.create(&group, note("a")).unwrap();
    assert_eq!(
        bob.load(&map.reference()).await,
        Err(LoadError::Unavailable(map.id().clone()))
    );
    let connection = server.connect(&alice);
    alice.wait_for_sync(SOON).await.unwrap();
    let seen = bob.load(&map.reference()).await.unwrap();
    drop(connection);
    map.update(|note| note.likes = 1).unwrap();
    assert_eq!(seen.get().unwrap().likes, 0);
    let _connection = server.connect(&alice);
    seen.subscribe()
        .wait_for(|note| note.likes == 1)
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn failures_are_printed_with_their_path() {
    let id: jazz::CoId = "co_zXtBnFBvNFub9yq8avrLmeYdssq".parse().unwrap();
    let failed = FailedLoad {
        path: "notes.3".into(),
        error: LoadError::Timeout(id),
    };
    assert_eq!(
        failed.to_string(),
        "notes.3: co_zXtBnFBvNFub9yq8avrLmeYdssq did not come in time"
    );
}
