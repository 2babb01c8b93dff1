//! Branches, images and deletions: made by one side, and seen, merged or heard of by the other.

use std::path::Path;

use jazz::{Co, FileInfo, Group, ImageDefinition, LoadError, Node, Ref, Role};
use serde_json::json;

use crate::schema::Leaf;
use crate::support::{JazzTools, SOON, SyncServer, interop_folder, node, our_server, their_server};

/// A node of ours, a client of theirs, and a group of ours in which it writes.
struct World {
    node: Node,
    jazz: JazzTools,
    group: Group,
}

impl World {
    async fn new(interop: &Path, server: &SyncServer) -> Self {
        let node = node(&server.url).await;
        let jazz = JazzTools::start(interop, &server.url).await;
        let group = node.create_group().unwrap();
        group.add_member(&jazz.account, Role::Writer).await.unwrap();
        Self { node, jazz, group }
    }

    async fn leaf(&self, name: &str) -> Co<Leaf> {
        let name = name.to_owned();
        let leaf = self.node.create(&self.group, Leaf { name }).unwrap();
        self.node.wait_for_sync(SOON).await.unwrap();
        leaf
    }
}

async fn until_named(leaf: &Co<Leaf>, name: &str) {
    let waiting = async {
        let mut names = leaf.subscribe();
        while let Some(leaf) = names.next().await {
            if leaf.is_ok_and(|leaf| leaf.name == name) {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    waited.unwrap_or_else(|_| panic!("it is never {name}, but {:?}", leaf.get()));
}

async fn branches(interop: &Path, server: &SyncServer) {
    let mut world = World::new(interop, server).await;
    let leaf = world.leaf("main").await;
    let id = leaf.id().clone();

    // Made by them, merged by us.
    let written = json!({ "request": "writeInBranch", "id": id, "branch": "draft", "name": "theirs" });
    world.jazz.ask(written).await;
    let draft = leaf.branch("draft").await.unwrap();
    until_named(&draft, "theirs").await;
    assert_eq!(leaf.get().unwrap().name, "main");
    draft.merge().unwrap();
    assert_eq!(leaf.get().unwrap().name, "theirs");
    world.node.wait_for_sync(SOON).await.unwrap();
    let merged = json!({ "request": "waitForLeaf", "id": id, "name": "theirs" });
    world.jazz.ask(merged).await;

    // Made by us, merged by them.
    let second = leaf.branch("second").await.unwrap();
    second.update(|leaf| leaf.name = "ours".to_owned()).unwrap();
    world.node.wait_for_sync(SOON).await.unwrap();
    let branch = json!({ "request": "readBranch", "id": id, "branch": "second" });
    assert_eq!(world.jazz.ask(branch).await["name"], "ours");
    let merge = json!({ "request": "mergeBranch", "id": id, "branch": "second" });
    world.jazz.ask(merge).await;
    until_named(&leaf, "ours").await;
}

async fn images(interop: &Path, server: &SyncServer) {
    let mut world = World::new(interop, server).await;
    let (node, group) = (world.node.clone(), world.group.clone());
    let info = FileInfo::new("image/x-test").sized(4);
    let file = node.create_file(&group, info, &b"ours"[..]).await.unwrap();
    let image = ImageDefinition {
        original: file.reference(),
        original_size: (20, 10),
        placeholder_data_url: None,
        progressive: false,
    };
    let image = node.create_image(&group, image, [((10, 5), file.reference())]);
    let image = image.unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let seen = world
        .jazz
        .ask(json!({ "request": "readImage", "id": image.id() }))
        .await;
    let expected = json!({
        "originalSize": [20, 10], "placeholder": null, "progressive": false, "text": "ours", "sizes": ["10x5"],
    });
    assert_eq!(seen, expected);

    let made = json!({ "request": "makeImage", "group": group.id(), "text": "theirs" });
    let made = world.jazz.ask(made).await;
    let image: Ref<ImageDefinition> = made["id"].as_str().unwrap().parse().unwrap();
    let image = node.load(&image).await.unwrap();
    let definition = image.get().unwrap();
    assert_eq!(
        (definition.original_size, definition.progressive),
        ((20, 10), true)
    );
    assert_eq!(definition.placeholder_data_url.as_deref(), Some("data:,"));
    let sizes = image.sizes().unwrap();
    assert_eq!(sizes.into_keys().collect::<Vec<_>>(), [(10, 5)]);
    let file = node.load(&definition.original).await.unwrap();
    let mut bytes = Vec::new();
    file.copy_to(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"theirs");
}

async fn deletions(interop: &Path, server: &SyncServer) {
    let mut world = World::new(interop, server).await;
    let leaf = world.leaf("to be deleted").await;
    let read = json!({ "request": "readLeaf", "id": leaf.id() });
    assert_eq!(world.jazz.ask(read).await["name"], "to be deleted");
    leaf.delete().unwrap();
    world.node.wait_for_sync(SOON).await.unwrap();
    world
        .jazz
        .ask(json!({ "request": "waitForDeletion", "id": leaf.id() }))
        .await;

    let group = world.jazz.ask(json!({ "request": "createGroup" })).await;
    let us = world.node.account_id().clone();
    let add = json!({ "request": "addMember", "group": group["group"], "member": us, "role": "reader" });
    world.jazz.ask(add).await;
    let made = json!({ "request": "writeLeaf", "group": group["group"], "name": "theirs" });
    let made = world.jazz.ask(made).await;
    let theirs: Ref<Leaf> = made["id"].as_str().unwrap().parse().unwrap();
    let seen = world.node.load(&theirs).await.unwrap();
    assert_eq!(seen.get().unwrap().name, "theirs");
    let mut changes = seen.subscribe();
    world
        .jazz
        .ask(json!({ "request": "deleteLeaf", "id": theirs.id() }))
        .await;
    let waiting = async {
        while let Some(leaf) = changes.next().await {
            if matches!(leaf, Err(LoadError::Deleted(_))) {
                return;
            }
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    waited.expect("the deletion is heard of");
}

#[tokio::test]
async fn over_our_server() {
    let Some(interop) = interop_folder() else { return };
    let server = our_server().await;
    branches(&interop, &server).await;
    images(&interop, &server).await;
    deletions(&interop, &server).await;
}

#[tokio::test]
async fn over_their_server() {
    let Some(interop) = interop_folder() else { return };
    let server = their_server(&interop).await;
    branches(&interop, &server).await;
    images(&interop, &server).await;
    deletions(&interop, &server).await;
}
