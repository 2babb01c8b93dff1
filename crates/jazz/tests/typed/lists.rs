//! Lists and records.

use jazz::{LoadError, WriteError};
use serde::{Deserialize, Serialize};

use crate::support::{note, offline};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Point {
    x: i32,
    y: i32,
}

#[tokio::test]
async fn items_are_inserted_replaced_and_removed_by_position() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let list = node
        .create_list(&group, ["b".to_owned(), "c".to_owned()])
        .unwrap();
    list.insert(0, &"a".to_owned()).unwrap();
    list.push(&"e".to_owned()).unwrap();
    list.insert(3, &"d".to_owned()).unwrap();
    list.extend([&"f".to_owned(), &"g".to_owned()]).unwrap();
    assert_eq!(list.items().unwrap().concat(), "abcdefg");
    list.set(1, &"B".to_owned()).unwrap();
    list.remove(6).unwrap();
    list.remove(0).unwrap();
    assert_eq!(list.items().unwrap().concat(), "Bcdef");
    assert_eq!((list.len().unwrap(), list.is_empty().unwrap()), (5, false));
    assert_eq!(list.get(0).unwrap().as_deref(), Some("B"));
    assert_eq!(list.get(5).unwrap(), None);
    assert_eq!(list.edit(0).unwrap().account(), Some(node.account_id()));
    assert_eq!(list.edit(5), None);
}

#[tokio::test]
async fn positions_beyond_the_end_are_refused() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let list = node.create_list(&group, [1]).unwrap();
    for result in [list.insert(2, &0), list.set(1, &0), list.remove(1)] {
        assert!(
            matches!(result, Err(WriteError::OutOfBounds { len: 1, .. })),
            "{result:?}"
        );
    }
    assert_eq!(list.items().unwrap(), [1]);
}

#[tokio::test]
async fn any_serde_type_can_be_an_item() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let points = vec![Point { x: 1, y: 2 }, Point { x: 3, y: 4 }];
    let list = node.create_list(&group, points.clone()).unwrap();
    assert_eq!(list.items().unwrap(), points);
    let map = node.create(&group, note("a")).unwrap();
    let links = node.create_list(&group, [map.reference()]).unwrap();
    assert_eq!(node.loaded(&links.get(0).unwrap().unwrap()).unwrap(), map);
    let numbers = node
        .loaded(&jazz::Ref::<jazz::CoList<u8>>::new(list.id().clone()))
        .unwrap();
    let Err(LoadError::Schema(error)) = numbers.items() else {
        panic!("points are no numbers")
    };
    assert_eq!(error.path(), "0");
}

#[tokio::test]
async fn records_have_entries_by_key() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let record = node.create_record(&group, [("one", 1), ("two", 2)]).unwrap();
    record.insert("three", &3).unwrap();
    record.insert(String::from("one"), &11).unwrap();
    record.remove("two").unwrap();
    record.remove("never there").unwrap();
    assert_eq!(record.keys().unwrap(), ["one", "three"]);
    assert_eq!(
        record.entries().unwrap().into_iter().collect::<Vec<_>>(),
        [("one".into(), 11), ("three".into(), 3)]
    );
    assert_eq!(
        (record.get("one").unwrap(), record.get("two").unwrap()),
        (Some(11), None)
    );
    assert!(record.contains_key("three").unwrap() && !record.contains_key("two").unwrap());
    assert_eq!((record.len().unwrap(), record.is_empty().unwrap()), (2, false));
    assert_eq!(
        record.edit("two").unwrap().account(),
        Some(node.account_id()),
        "who removed it"
    );
}

#[tokio::test]
async fn writing_the_same_again_writes_nothing() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let record = node.create_record(&group, [("one", 1)]).unwrap();
    let state = || node.driver().with(|core, _| core.known_state(record.id()));
    let before = state();
    record.insert("one", &1).unwrap();
    record.remove("two").unwrap();
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_value_of_another_kind_is_refused() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let wrong = jazz::Ref::<jazz::CoList<u8>>::new(map.id().clone());
    let error = node.loaded(&wrong).unwrap_err();
    assert_eq!(
        error,
        LoadError::WrongKind {
            id: map.id().clone(),
            expected: "list"
        }
    );
    assert!(matches!(
        node.load_group(map.id()).await,
        Err(LoadError::WrongKind {
            expected: "group",
            ..
        })
    ));
}
