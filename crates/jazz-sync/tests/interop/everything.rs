//! One value of each kind, made by one side and edited by both, with a file that takes several pieces.

use std::path::Path;

use cojson::json::stable_stringify;
use jazz::{Ref, Role};
use serde_json::json;

use crate::schema::{Everything, edit, make, show, wait_until};
use crate::support::{JazzTools, SOON, SyncServer, interop_folder, node, our_server, their_server};

/// Several chunks, and more than fits into one message.
const FILE_LENGTH: usize = 700_000;

#[tokio::test]
async fn every_kind_of_value_over_our_server() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    theirs_here(&interop, &server).await;
    ours_there(&interop, &server).await;
}

#[tokio::test]
async fn every_kind_of_value_over_their_server() {
    let Some(interop) = interop_folder() else { return };
    let server = their_server(&interop).await;
    theirs_here(&interop, &server).await;
    ours_there(&interop, &server).await;
}

/// Made by jazz-tools.
async fn theirs_here(interop: &Path, server: &SyncServer) {
    let node = node(&server.url).await;
    let mut jazz = JazzTools::start(interop, &server.url).await;
    let request = json!({
        "request": "makeEverything", "member": node.account_id(), "title": "theirs", "fileLength": FILE_LENGTH,
    });
    let made = jazz.ask(request).await;
    let id: Ref<Everything> = made["id"].as_str().unwrap().parse().unwrap();
    let it = node.load(&id).await.unwrap();
    assert_eq!(
        stable_stringify(&show(&it).await.unwrap()),
        stable_stringify(&made["shown"])
    );

    edit(&it, "edited by us").await;
    let shown = show(&it).await.unwrap();
    jazz.ask(json!({ "request": "waitForEverything", "id": id, "expected": shown }))
        .await;
}

/// Made by us.
async fn ours_there(interop: &Path, server: &SyncServer) {
    let node = node(&server.url).await;
    let mut jazz = JazzTools::start(interop, &server.url).await;
    let group = node.create_group().unwrap();
    group.add_member(&jazz.account, Role::Writer).await.unwrap();
    let it = make(&node, &group, "ours", FILE_LENGTH).await;
    node.wait_for_sync(SOON).await.unwrap();
    let shown = show(&it).await.unwrap();
    jazz.ask(json!({ "request": "waitForEverything", "id": it.id(), "expected": shown }))
        .await;

    let edited = jazz
        .ask(json!({ "request": "editEverything", "id": it.id(), "title": "edited by them" }))
        .await;
    wait_until(&it, &edited).await;
}
