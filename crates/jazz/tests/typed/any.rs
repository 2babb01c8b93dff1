//! Values of which only the id is known.

use jazz::{AnyValue, CoId, FileInfo, LoadError, Role};
use serde_json::json;

use crate::support::{client, note, shared};

#[tokio::test]
async fn values_of_all_kinds_are_told_apart() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let file = alice.create_file(&group, FileInfo::new("text/plain"), &b"bytes"[..]);
    let of_kind = [
        ("map", alice.create(&group, note("a")).unwrap().id().clone()),
        ("list", alice.create_list(&group, [1]).unwrap().id().clone()),
        ("feed", alice.create_feed(&group, [1]).unwrap().id().clone()),
        ("text", alice.create_text(&group, "a").unwrap().id().clone()),
        ("file", file.await.unwrap().id().clone()),
        ("group", group.id().clone()),
        ("account", CoId::from(alice.account_id().clone())),
    ];
    for (kind, id) in &of_kind {
        let value = bob.load_any(id).await.unwrap();
        assert_eq!((value.kind(), value.id()), (*kind, id));
        let role = if *kind == "account" {
            None
        } else {
            Some(Role::Writer)
        };
        assert_eq!(value.my_role(), role, "{kind}");
    }
    match bob.load_any(&of_kind[0].1).await.unwrap() {
        AnyValue::Map(map) => assert_eq!(map.get("text").unwrap(), Some(json!("a"))),
        other => panic!("a {}", other.kind()),
    }
}

#[tokio::test]
async fn what_is_hidden_or_deleted_is_not_loaded() {
    let (server, alice, _, group) = shared(Role::Reader).await;
    let eve = client(&server, "Eve").await;
    let list = alice.create_list(&group, [1]).unwrap();
    let refused = eve.load_any(list.id()).await.unwrap_err();
    assert_eq!(refused, LoadError::Unauthorised(list.id().clone()));
    alice.load_any(list.id()).await.unwrap().delete().unwrap();
    let refused = alice.load_any(list.id()).await.unwrap_err();
    assert_eq!(refused, LoadError::Deleted(list.id().clone()));
}
