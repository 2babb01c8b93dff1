//! Nodes that write without a server and are killed before they have one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cojson::Credentials;
use cojson::ids::CoId;
use cojson::secrets::{AgentSecret, SecretSeed};
use jazz::{LocalServer, Node};

use crate::support::{Running, SOON};

const STORAGE: &str = "TEST_OFFLINE_STORAGE";
const SERVER: &str = "TEST_OFFLINE_SERVER";
const VALUES: usize = 300;

fn secret() -> AgentSecret {
    AgentSecret::from_seed(&SecretSeed::from_bytes([7; 32]))
}

/// What a child process of the test below does; by itself it is no test.
#[tokio::test]
async fn child() {
    let Some(storage) = std::env::var_os(STORAGE) else {
        return;
    };
    let node = Node::builder().storage(storage);
    let node = match std::env::var(SERVER) {
        Err(_) => node.create_account_of(secret(), "Ada").connect().await.unwrap(),
        Ok(server) => {
            let node = node.sync_server(server).account(Credentials::of(secret()));
            let node = node.connect().await.unwrap();
            assert!(node.connected(SOON).await);
            node
        }
    };
    if !node.is_connected() {
        for number in 0..VALUES {
            let group = node.create_group().unwrap();
            let map = node
                .create_record(&group, [("n".to_owned(), number as u32)])
                .unwrap();
            println!("made {}", map.id());
        }
        node.wait_for_storage().await;
    }
    println!("ready");
    std::future::pending().await
}

/// Runs the child until it is ready, kills it, and returns what it has made.
fn run_and_kill(storage: &Path, server: Option<&str>) -> Vec<CoId> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "offline::child", "--nocapture"]);
    command.env(STORAGE, storage).stdout(Stdio::piped());
    if let Some(server) = server {
        command.env(SERVER, server);
    }
    let mut child = Killed(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut made = Vec::new();
    loop {
        let line = lines.next().expect("the child says when it is ready").unwrap();
        match line.split_once("made ") {
            Some((_, id)) => made.push(id.parse().unwrap()),
            None if line.ends_with("ready") => return made,
            None => {}
        }
    }
}

/// A process that doesn't outlive this, and is never asked to end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_kill_reaches_the_server_though_nobody_loads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, database) = (folder.path().join("ada.db"), folder.path().join("server.db"));
    let made = run_and_kill(&storage, None);
    assert_eq!(made.len(), VALUES);
    let server = Running::start(&database).await;
    // Killed with the first of them under way, or perhaps not even that.
    let url = server.url.clone();
    let again = storage.clone();
    tokio::task::spawn_blocking(move || run_and_kill(&again, Some(&url)))
        .await
        .unwrap();

    let node = Node::builder()
        .storage(&storage)
        .sync_server(&server.url)
        .account(Credentials::of(secret()))
        .connect()
        .await
        .unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let reader = server.client("Reader").await;
    for id in &made {
        reader.load(id, SOON).await.unwrap();
    }

    // Nothing is left to be told: another run has nothing of it in memory.
    node.shutdown().await;
    drop(node);
    let node = Node::builder()
        .storage(&storage)
        .sync_server(&server.url)
        .account(Credentials::of(secret()))
        .connect()
        .await
        .unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let here = node
        .driver()
        .with(|core, _| made.iter().filter(|id| core.has(id)).count());
    assert_eq!(here, 0);
    server.stop().await;
}

#[tokio::test]
async fn what_one_of_two_servers_lacks_is_still_noted() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("ada.db");
    let (server, other) = (LocalServer::new(), LocalServer::new());
    let builder = || Node::builder().storage(&storage).local_server(&server);
    let node = builder()
        .create_account_of(secret(), "Ada")
        .connect()
        .await
        .unwrap();
    node.driver().with(|core, _| core.note_for_servers(2));
    let map = node.create_record(&node.create_group().unwrap(), [("n".to_owned(), 1_u32)]);
    let id = map.unwrap().id().clone();
    node.wait_for_sync(SOON).await.unwrap();
    node.shutdown().await;
    drop(node);

    let node = builder()
        .account(Credentials::of(secret()))
        .connect()
        .await
        .unwrap();
    let _connection = other.connect(&node);
    node.wait_for_sync(SOON).await.unwrap();
    assert!(other.driver().with(|core, _| core.has(&id)));
}
