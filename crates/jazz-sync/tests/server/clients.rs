//! What clients rely on.

use cojson::Node;
use cojson::ids::CoId;
use jazz::driver::{Driver, LoadFailure};
use jazz_sync::{Server, ServerError, Settings};

use crate::support::{Running, SOON, count, create_public_map, set};

#[tokio::test]
async fn what_one_client_writes_another_one_reads_and_follows() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    let (alice, bob) = (server.client("Alice").await, server.client("Bob").await);
    let id = create_public_map(&alice);
    alice.wait_for_sync(SOON).await.unwrap();

    bob.load(&id, SOON).await.unwrap();
    assert_eq!(count(&bob, &id), Some(1));

    let mut watch = bob.watch(&id);
    set(&alice, &id, "count", 2);
    while count(&bob, &id) != Some(2) {
        tokio::time::timeout(SOON, watch.changed()).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let alice = server.client("Alice").await;
    let ids: Vec<CoId> = (0..50).map(|_| create_public_map(&alice)).collect();
    alice.wait_for_sync(SOON).await.unwrap();
    server.stop().await;

    let server = Running::start(&file).await;
    let bob = server.client("Bob").await;
    for id in &ids {
        bob.load(id, SOON).await.unwrap();
        assert_eq!(count(&bob, id), Some(1));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_value_that_nobody_has_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    let stranger = server.client("Stranger").await;
    let alone = Driver::new(Node::new(false));
    let id = alone.with(|node, cx| {
        node.create_account(cx, None, "Alone").unwrap();
        node.create_group(cx).unwrap()
    });
    assert_eq!(stranger.load(&id, SOON).await, Err(LoadFailure::Unavailable));
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_file_or_port_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("jazz.db"));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings.clone())
        .await
        .unwrap();
    let same_port = Server::bind(
        server.address().unwrap(),
        Settings::new(folder.path().join("other.db")),
    )
    .await;
    assert!(matches!(same_port, Err(ServerError::Listen { .. })));
    let same_file = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await;
    assert!(matches!(same_file, Err(ServerError::Storage { .. })));
}
