//! Writes without a connection, on both sides, that meet when there is one again.

use std::path::Path;
use std::time::Duration;

use jazz::{Co, CoList, Node, Ref};
use serde_json::json;

use crate::schema::Note;
use crate::support::{JazzTools, Line, SOON, SyncServer, interop_folder, node, our_server, their_server};

#[tokio::test]
async fn what_both_write_offline_meets_over_our_server() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    write_apart(&interop, &server).await;
}

#[tokio::test]
async fn what_both_write_offline_meets_over_their_server() {
    let Some(interop) = interop_folder() else { return };
    let server = their_server(&interop).await;
    write_apart(&interop, &server).await;
}

async fn write_apart(interop: &Path, server: &SyncServer) {
    let line = Line::to(server).await;
    let node = node(&line.url).await;
    let mut jazz = JazzTools::start(interop, &line.url).await;
    let (note, tags) = shared_note(&node, &mut jazz).await;

    line.cut();
    tags.push(&"ours".to_owned()).unwrap();
    note.update(|note| note.comment = Some("written offline".to_owned()))
        .unwrap();
    jazz.ask(json!({ "request": "pushTag", "id": note.id(), "tag": "theirs" }))
        .await;
    assert!(
        node.wait_for_sync(Duration::ZERO).await.is_err(),
        "there is no connection"
    );
    line.mend();

    let seen = wait_for_tags(&tags, 3).await;
    let theirs = jazz
        .ask(json!({ "request": "waitForTags", "id": note.id(), "count": 3 }))
        .await;
    assert_eq!(json!(seen), theirs["tags"]);
    node.wait_for_sync(SOON).await.unwrap();
    let read = jazz.ask(json!({ "request": "read", "id": note.id() })).await;
    assert_eq!(read["comment"], "written offline");
}

/// A note of jazz-tools with one tag, which both may write.
async fn shared_note(node: &Node, jazz: &mut JazzTools) -> (Co<Note>, Co<CoList<String>>) {
    let made = jazz
        .ask(json!({
            "request": "create", "member": node.account_id(), "role": "writer", "title": "shared", "tags": ["first"],
        }))
        .await;
    let id: Ref<Note> = made["id"].as_str().unwrap().parse().unwrap();
    let note = node.load(&id).await.unwrap();
    let tags = node.load(&note.get().unwrap().tags).await.unwrap();
    (note, tags)
}

async fn wait_for_tags(tags: &Co<CoList<String>>, count: usize) -> Vec<String> {
    let mut changes = tags.subscribe();
    let waiting = changes.wait_for(|tags| tags.len() == count);
    let in_time = tokio::time::timeout(SOON, waiting).await.expect("the tags come");
    in_time.expect("the node runs").unwrap()
}

#[tokio::test]
async fn a_node_that_worked_from_its_storage_alone_catches_up_over_our_server() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    work_from_storage(&interop, &server).await;
}

#[tokio::test]
async fn a_node_that_worked_from_its_storage_alone_catches_up_over_their_server() {
    let Some(interop) = interop_folder() else { return };
    let server = their_server(&interop).await;
    work_from_storage(&interop, &server).await;
}

async fn work_from_storage(interop: &Path, server: &SyncServer) {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("node.db");
    let first = Node::builder()
        .sync_server(&server.url)
        .storage(&storage)
        .create_account("Rust")
        .connect()
        .await
        .unwrap();
    first.wait_for_sync(SOON).await.unwrap();
    let credentials = first.credentials().unwrap();
    let mut jazz = JazzTools::start(interop, &server.url).await;
    let (note, _) = shared_note(&first, &mut jazz).await;
    let id = note.reference();
    first.shutdown().await;

    let offline = Node::builder()
        .storage(&storage)
        .account(credentials.clone())
        .connect()
        .await
        .unwrap();
    let note = offline.load(&id).await.unwrap();
    let tags = offline.load(&note.get().unwrap().tags).await.unwrap();
    tags.push(&"offline".to_owned()).unwrap();
    offline.shutdown().await;
    jazz.ask(json!({ "request": "pushTag", "id": id, "tag": "meanwhile" }))
        .await;
    jazz.ask(json!({ "request": "synced" })).await;

    let online = Node::builder()
        .sync_server(&server.url)
        .storage(&storage)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    let note = online.load(&id).await.unwrap();
    let tags = online.load(&note.get().unwrap().tags).await.unwrap();
    let seen = wait_for_tags(&tags, 3).await;
    let theirs = jazz
        .ask(json!({ "request": "waitForTags", "id": id, "count": 3 }))
        .await;
    assert_eq!(json!(seen), theirs["tags"]);
}
