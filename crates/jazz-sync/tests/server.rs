//! The server as clients see it: over a real socket, on a real file.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;
use std::time::Duration;

use cojson::Node;
use cojson::group::EveryoneRole;
use cojson::header::ValueType;
use cojson::ids::CoId;
use cojson::local::NewValue;
use cojson::transaction::Privacy;
use jazz::driver::{Driver, LoadFailure};
use jazz_sync::{Server, ServerError, Settings};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    async fn start(storage: &Path) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Settings::new(storage.to_owned()))
            .await
            .unwrap();
        let url = format!("ws://{}", server.address().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self { url, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// A client with an account of its own.
    fn client(&self, name: &str) -> Driver {
        let client = Driver::new(Node::new(false));
        client.connect_websocket(self.url.clone());
        client
            .with(|node, cx| node.create_account(cx, None, name))
            .unwrap();
        client
    }
}

/// Makes a map that everybody can read.
fn create_public_map(client: &Driver) -> CoId {
    client.with(|node, cx| {
        let group = node.create_group(cx).unwrap();
        node.set_everyone(cx, &group, Some(EveryoneRole::Reader)).unwrap();
        let init = vec![json!({"op": "set", "key": "count", "value": 1})];
        node.create(cx, NewValue::new(ValueType::CoMap, group, init))
            .unwrap()
    })
}

fn set_count(client: &Driver, id: &CoId, count: u64) {
    let change = json!({"op": "set", "key": "count", "value": count});
    client
        .with(|node, cx| node.write(cx, id, &[change], Privacy::Private, None))
        .unwrap();
}

fn count(client: &Driver, id: &CoId) -> Option<u64> {
    client.with(|node, _| {
        node.map(id)
            .unwrap()
            .get("count")
            .and_then(|count| count.as_u64())
    })
}

#[tokio::test]
async fn what_one_client_writes_another_one_reads_and_follows() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(&folder.path().join("jazz.db")).await;
    let (alice, bob) = (server.client("Alice"), server.client("Bob"));
    let id = create_public_map(&alice);
    alice.wait_for_sync(SOON).await.unwrap();

    bob.load(&id, SOON).await.unwrap();
    assert_eq!(count(&bob, &id), Some(1));

    let mut watch = bob.watch(&id);
    set_count(&alice, &id, 2);
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
    let alice = server.client("Alice");
    let ids: Vec<CoId> = (0..50).map(|_| create_public_map(&alice)).collect();
    alice.wait_for_sync(SOON).await.unwrap();
    server.stop().await;

    let server = Running::start(&file).await;
    let bob = server.client("Bob");
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
    let stranger = server.client("Stranger");
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
