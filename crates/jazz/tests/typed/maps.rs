//! Structs as maps.

use cojson::log::SessionLog;
use jazz::{Author, CoMap, LoadError, Timestamp, WriteError};
use serde_json::json;

use crate::support::{Note, note, offline};

#[derive(CoMap, Clone, Debug, PartialEq)]
#[co(rename_all = "snake_case")]
struct Renamed {
    two_words: u8,
    #[co(rename = "$other")]
    r#type: String,
}

#[test]
fn the_table_of_fields_has_wire_names() {
    let names: Vec<_> = Note::FIELDS
        .iter()
        .map(|field| (field.rust_name, field.name, field.is_optional))
        .collect();
    let expected = [
        ("text", "text", false),
        ("likes", "likes", false),
        ("edited_at", "editedAt", true),
        ("tag", "tag", true),
        ("parent", "parent", true),
        ("labels", "labels", true),
    ];
    assert_eq!(names, expected);
    let names: Vec<_> = Renamed::FIELDS
        .iter()
        .map(|field| (field.rust_name, field.name))
        .collect();
    assert_eq!(names, [("two_words", "two_words"), ("type", "$other")]);
}

#[tokio::test]
async fn what_is_created_is_read() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let parent = node.create(&group, note("parent")).unwrap();
    let value = Note {
        likes: 3,
        edited_at: Some(Timestamp(1_750_000_000_000)),
        tag: Some("x".into()),
        parent: Some(parent.reference()),
        labels: vec!["a".into()],
        ..note("child")
    };
    let child = node.create(&group, value.clone()).unwrap();
    assert_eq!(child.get().unwrap(), value);
    assert_eq!(child.owner(), group);
    assert_eq!(
        node.loaded(&parent.reference()).unwrap().get().unwrap(),
        note("parent")
    );
}

#[tokio::test]
async fn an_update_writes_only_what_changed() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    let transactions = || {
        node.driver().with(|core, _| {
            let log = core.log(map.id()).unwrap();
            log.sessions().values().map(SessionLog::len).sum::<usize>()
        })
    };
    let before = transactions();
    map.update(|_| ()).unwrap();
    map.update(|note| note.text = "a".into()).unwrap();
    assert_eq!(transactions(), before, "nothing changed, nothing is written");
    let returned = map.update(|note| {
        note.likes += 1;
        note.tag = Some("t".into());
        note.likes
    });
    assert_eq!(returned.unwrap(), 1);
    assert_eq!(transactions(), before + 1, "one transaction for both fields");
    map.update(|note| note.tag = None).unwrap();
    assert_eq!(
        map.get().unwrap(),
        Note {
            likes: 1,
            ..note("a")
        }
    );
}

#[tokio::test]
async fn updates_of_several_threads_lose_no_count() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| map.update(|note| note.likes += 1).unwrap()));
        }
    });
    assert_eq!(map.get().unwrap().likes, 100);
}

#[tokio::test]
async fn replace_repairs_what_does_not_fit() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node
        .create(
            &group,
            Renamed {
                two_words: 1,
                r#type: "t".into(),
            },
        )
        .unwrap();
    let as_note = node.loaded(&jazz::Ref::<Note>::new(map.id().clone())).unwrap();
    let Err(LoadError::Schema(error)) = as_note.get() else {
        panic!("a field is missing")
    };
    assert_eq!((error.path(), error.id()), ("text", Some(map.id())));
    assert_eq!(
        error.to_string(),
        format!("Note.text of {}: the field is missing", map.id())
    );
    assert!(matches!(
        as_note.update(|_| ()),
        Err(WriteError::Load(LoadError::Schema(_)))
    ));
    as_note.replace(&note("repaired")).unwrap();
    assert_eq!(as_note.get().unwrap(), note("repaired"));
    assert_eq!(map.get().unwrap().two_words, 1, "unknown fields stay");
}

#[tokio::test]
async fn errors_name_field_and_expectation() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    node.driver().with(|core, cx| {
        let change = json!({"op": "set", "key": "likes", "value": "many"});
        core.write(
            cx,
            map.id(),
            &[change],
            cojson::transaction::Privacy::Private,
            None,
        )
        .unwrap();
    });
    let message = map.get().unwrap_err().to_string();
    let expected = format!(
        r#"Note.likes of {}: invalid type: string "many", expected u32"#,
        map.id()
    );
    assert_eq!(message, expected);
}

#[tokio::test]
async fn edits_tell_who_and_when() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let before = Timestamp::now();
    let map = node.create(&group, note("a")).unwrap();
    map.update(|note| note.edited_at = Some(before)).unwrap();
    for name in ["edited_at", "editedAt", "text"] {
        let edit = map.edit(name).unwrap();
        assert_eq!(edit.by, Author::Account(node.account_id().clone()));
        assert_eq!(edit.account(), Some(node.account_id()));
        assert!(edit.at >= before);
    }
    assert_eq!(map.edit("tag"), None, "never written");
    assert_eq!(map.edit("nonsense"), None);
}

#[tokio::test]
async fn a_transaction_larger_than_the_format_allows_is_refused() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let large = note(&"x".repeat(1024 * 1024));
    assert!(matches!(
        node.create(&group, large.clone()),
        Err(WriteError::TooLarge(_))
    ));
    let map = node.create(&group, note("a")).unwrap();
    assert!(matches!(map.replace(&large), Err(WriteError::TooLarge(_))));
    assert_eq!(map.get().unwrap(), note("a"));
}

#[test]
fn dates_are_iso_text_with_milliseconds() {
    let time = Timestamp(1_750_000_000_123);
    assert_eq!(time.to_string(), "2025-06-15T15:06:40.123Z");
    assert_eq!("2025-06-15T15:06:40.123Z".parse(), Ok(time));
    assert_eq!("2025-06-15T17:06:40.123+02:00".parse(), Ok(time));
    assert!("1969-12-31T23:59:59.999Z".parse::<Timestamp>().is_err());
    assert!("yesterday".parse::<Timestamp>().is_err());
}
