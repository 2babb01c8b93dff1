//! Notes: a map with a list, made by one side and edited by both.

use jazz::{LoadError, Ref, Role, Timestamp};
use serde_json::json;

use crate::schema::Note;
use crate::support::{JazzTools, SOON, interop_folder, node, our_server};

#[tokio::test]
async fn a_node_reads_and_edits_what_jazz_tools_wrote() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    let node = node(&server.url).await;
    let mut jazz = JazzTools::start(&interop, &server.url).await;
    let made = jazz
        .ask(json!({
            "request": "create", "member": node.account_id(), "role": "writer", "title": "héllo", "tags": ["a", "b"],
        }))
        .await;
    let id: Ref<Note> = made["id"].as_str().unwrap().parse().unwrap();

    let note = node.load(&id).await.unwrap();
    let tags = node.load(&note.get().unwrap().tags).await.unwrap();
    let read = note.get().unwrap();
    assert_eq!(
        (read.title.as_str(), read.count, read.at, read.comment),
        ("héllo", 1, Timestamp(1_750_000_000_000), None)
    );
    assert_eq!(tags.items().unwrap(), ["a", "b"]);
    assert_eq!(
        note.edit("title").and_then(|edit| edit.account().cloned()),
        Some(jazz.account.clone())
    );

    note.update(|note| note.title = "from Rust".to_owned()).unwrap();
    tags.push(&"c".to_owned()).unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let seen = jazz
        .ask(json!({ "request": "waitForTitle", "id": id, "title": "from Rust" }))
        .await;
    assert_eq!(seen["title"], "from Rust");

    // What is written after the removal can't be read by us any more.
    jazz.ask(json!({ "request": "removeMember", "group": made["group"], "member": node.account_id() }))
        .await;
    jazz.ask(json!({ "request": "edit", "id": id, "title": "secret", "tag": "d" }))
        .await;
    let mut changes = note.subscribe();
    let refused = tokio::time::timeout(SOON, async {
        loop {
            match changes.next().await.expect("the node runs") {
                Err(LoadError::Unauthorised(_)) => return true,
                Ok(note) if note.title == "secret" => return false,
                _ => {}
            }
        }
    });
    assert!(refused.await.unwrap(), "read what was written after the removal");
}

#[tokio::test]
async fn jazz_tools_reads_and_edits_what_a_node_wrote() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    let node = node(&server.url).await;
    let mut jazz = JazzTools::start(&interop, &server.url).await;

    let group = node.create_group().unwrap();
    group.add_member(&jazz.account, Role::Writer).await.unwrap();
    let tags = node
        .create_list(&group, ["x".to_owned(), "y".to_owned()])
        .unwrap();
    let note = Note {
        title: "made in Rust".to_owned(),
        count: 7,
        at: Timestamp(1_750_000_000_000),
        comment: None,
        tags: tags.reference(),
    };
    let note = node.create(&group, note).unwrap();
    node.wait_for_sync(SOON).await.unwrap();

    let read = jazz.ask(json!({ "request": "read", "id": note.id() })).await;
    let expected = json!({
        "title": "made in Rust", "count": 7, "at": "2025-06-15T15:06:40.000Z", "comment": null, "tags": ["x", "y"],
    });
    assert_eq!(read, expected);

    jazz.ask(json!({ "request": "edit", "id": note.id(), "title": "edited by jazz-tools", "tag": "z" }))
        .await;
    let mut notes = note.subscribe();
    let edited = notes.wait_for(|note| note.title == "edited by jazz-tools");
    let edited = tokio::time::timeout(SOON, edited)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(edited.comment.as_deref(), Some("edited"));
    let mut items = tags.subscribe();
    let items = tokio::time::timeout(SOON, items.wait_for(|items| items.len() == 3))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(items, ["x", "y", "z"]);
}
