//! Streams of snapshots.

use futures::{FutureExt as _, StreamExt as _};
use jazz::{LoadError, Role};

use crate::support::{note, offline, shared};

#[tokio::test]
async fn the_first_snapshot_comes_at_once_then_only_the_newest() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let mut changes = map.subscribe();
    assert_eq!(changes.next().now_or_never().unwrap().unwrap().unwrap().likes, 0);
    assert!(changes.next().now_or_never().is_none(), "nothing has changed");
    for likes in 1..=100 {
        map.update(|note| note.likes = likes).unwrap();
    }
    assert_eq!(
        changes.next().now_or_never().unwrap().unwrap().unwrap().likes,
        100
    );
    assert!(
        changes.next().now_or_never().is_none(),
        "a hundred changes are one snapshot"
    );
}

#[tokio::test]
async fn a_change_between_two_polls_is_not_missed() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let mut changes = map.subscribe();
    changes.next().await.unwrap().unwrap();
    map.update(|note| note.likes = 1).unwrap();
    assert_eq!(changes.next().now_or_never().unwrap().unwrap().unwrap().likes, 1);
}

#[tokio::test]
async fn equal_snapshots_are_not_repeated() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let mut changes = map.subscribe();
    changes.next().await.unwrap().unwrap();
    group.set_everyone(Role::Reader).unwrap();
    map.update(|note| note.likes = 1).unwrap();
    map.update(|note| note.likes = 0).unwrap();
    assert!(changes.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let list = node.create_list(&group, [0]).unwrap();
    let mut changes = list.subscribe();
    changes.next().await.unwrap().unwrap();
    for item in 1..10 {
        drop(changes.next().now_or_never());
        list.push(&item).unwrap();
        drop(Box::pin(changes.next()));
    }
    assert_eq!(changes.next().await.unwrap().unwrap().len(), 10);
}

#[tokio::test]
async fn every_kind_of_value_can_be_watched_from_another_node() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let list = alice.create_list(&group, [1]).unwrap();
    let record = alice.create_record(&group, [("a", 1)]).unwrap();
    let mut lists = bob.load(&list.reference()).await.unwrap().subscribe();
    let mut records = bob.load(&record.reference()).await.unwrap().subscribe();
    let mut members = bob.load_group(group.id()).await.unwrap().subscribe();
    let mut accounts = bob.load_account(alice.account_id()).await.unwrap().subscribe();
    list.push(&2).unwrap();
    record.insert("b", &2).unwrap();
    group.remove_member(bob.account_id()).await.unwrap();
    let root = alice
        .create(&alice.create_group().unwrap(), note("root"))
        .unwrap();
    alice.account().set_root(root.id()).unwrap();
    members
        .wait_for(|members| members.len() == 1)
        .await
        .unwrap()
        .unwrap();
    accounts
        .wait_for(|account| account.root.as_ref() == Some(root.id()))
        .await
        .unwrap()
        .unwrap();
    let refused =
        |result: Option<Result<_, LoadError>>| matches!(result, Some(Err(LoadError::Unauthorised(_))));
    assert!(refused(
        lists.wait_for(|_| false).await.map(|result| result.map(drop))
    ));
    assert!(refused(
        records.wait_for(|_| false).await.map(|result| result.map(drop))
    ));
}

#[tokio::test]
async fn what_is_deleted_says_so() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let mut changes = map.subscribe();
    changes.next().await.unwrap().unwrap();
    map.delete().unwrap();
    assert_eq!(
        changes.next().await.unwrap(),
        Err(LoadError::Deleted(map.id().clone()))
    );
    assert_eq!(
        node.load(&map.reference()).await,
        Err(LoadError::Deleted(map.id().clone()))
    );
    assert!(map.update(|note| note.likes = 1).is_err());
}

#[tokio::test]
async fn shutting_down_ends_subscriptions() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let mut changes = map.subscribe();
    changes.next().await.unwrap().unwrap();
    let waiting = tokio::spawn(async move { changes.by_ref().collect::<Vec<_>>().await.len() });
    node.shutdown().await;
    assert_eq!(waiting.await.unwrap(), 0);
    assert!(map.subscribe().next().await.is_none());
}
