//! A page in a browser that uses jazz-tools: what is typed there is read here, and back.

use jazz::{Role, Timestamp};
use serde_json::json;

use crate::schema::Note;
use crate::support::{JazzTools, SOON, interop_folder, node, our_server};

#[tokio::test]
async fn a_page_and_a_node_edit_one_note() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    let Some(mut page) = JazzTools::browser(&interop, &server.url).await else {
        return;
    };
    let node = node(&server.url).await;
    let group = node.create_group().unwrap();
    group.add_member(&page.account, Role::Writer).await.unwrap();
    let note = Note {
        title: "made in Rust".to_owned(),
        count: 1,
        at: Timestamp::now(),
        comment: None,
        tags: node.create_list(&group, []).unwrap().reference(),
    };
    let note = node.create(&group, note).unwrap();
    node.wait_for_sync(SOON).await.unwrap();

    page.ask(json!({ "request": "show", "id": note.id() })).await;
    page.ask(json!({ "request": "waitFor", "text": "made in Rust" }))
        .await;
    page.ask(json!({ "request": "type", "text": "typed in the page" }))
        .await;
    let mut notes = note.subscribe();
    let typed = notes.wait_for(|note| note.title == "typed in the page");
    let typed = tokio::time::timeout(SOON, typed)
        .await
        .expect("what is typed arrives");
    typed.expect("the node runs").unwrap();
    let edit = note.edit("title").unwrap();
    assert_eq!(edit.account(), Some(&page.account));

    note.update(|note| note.title = "and back".to_owned()).unwrap();
    page.ask(json!({ "request": "waitFor", "text": "and back" }))
        .await;
    page.end().await;
}
