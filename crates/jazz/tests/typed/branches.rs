//! Branches of values.

use jazz::{LoadError, Role, WriteError};

use crate::support::{note, offline, shared};

#[tokio::test]
async fn a_branch_is_found_by_its_name_and_merged_back() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let map = alice.create(&group, note("one")).unwrap();
    let draft = alice.clone();
    let draft = draft
        .load(&map.reference())
        .await
        .unwrap()
        .branch("draft")
        .await
        .unwrap();
    draft.update(|note| note.text = "draft".into()).unwrap();
    assert_eq!(map.get().unwrap().text, "one");
    let same = bob
        .load(&map.reference())
        .await
        .unwrap()
        .branch("draft")
        .await
        .unwrap();
    assert_eq!(same.id(), draft.id());
    let mut changes = same.subscribe();
    changes
        .wait_for(|note| note.text == "draft")
        .await
        .unwrap()
        .unwrap();
    same.update(|note| note.likes = 7).unwrap();
    let merged = same.merge().unwrap();
    assert_eq!(merged.id(), map.id());
    let mut changes = map.subscribe();
    let merged = changes.wait_for(|note| note.likes == 7).await.unwrap().unwrap();
    assert_eq!(merged.text, "draft");
}

#[tokio::test]
async fn readers_have_branches_in_groups_of_their_own() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let list = alice.create_list(&group, [1]).unwrap();
    let seen = bob.load(&list.reference()).await.unwrap();
    let refused = seen.branch("mine").await;
    assert!(
        matches!(refused, Err(WriteError::NotAllowed { .. })),
        "{refused:?}"
    );
    let own = bob.create_group().unwrap();
    let mine = seen.branch_in(&own, "mine").await.unwrap();
    mine.push(&2).unwrap();
    assert_eq!(mine.items().unwrap(), [1, 2]);
    assert_eq!(seen.items().unwrap(), [1]);
    assert_eq!(seen.branch_in(&own, "mine").await.unwrap(), mine);
}

#[tokio::test]
async fn what_is_no_branch_is_not_merged() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let list = node.create_list(&group, [1]).unwrap();
    assert!(matches!(
        list.merge(),
        Err(WriteError::Load(LoadError::WrongKind { .. }))
    ));
}
