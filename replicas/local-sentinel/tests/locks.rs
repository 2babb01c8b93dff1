//! Locks of replicas, held by processes, at the lock service of a runtime.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use reside::locks::{LocalLocks, LockService as _};
use reside_local::{Images, Program, Runtime, RuntimeConfig, Settings};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longer than any test: such a lease doesn't end by itself.
const LONG: Duration = Duration::from_secs(600);
const SOCKET: &str = "HOLDER_SOCKET";
const HELD: &str = "it is held";

struct NoImages;

impl Images for NoImages {
    fn unpack(&self, _: &str) -> Result<Program, String> {
        Err("there are none".to_owned())
    }
}

async fn runtime(folder: &Path) -> Runtime {
    let config = RuntimeConfig {
        folder: folder.to_owned(),
        gateway: "127.0.0.1:0".parse().unwrap(),
        images: Arc::new(NoImages),
        trampoline: vec!["/usr/bin/env".into()],
        settings: Settings::default(),
    };
    Runtime::start(config).await.unwrap()
}

/// What the process does that [`holder`] starts. By itself it is no test.
#[tokio::test]
async fn hold() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    let lease = LocalLocks::new(socket).acquire("a", LONG, LONG).await.unwrap();
    println!("{HELD}");
    std::future::pending::<()>().await;
    drop(lease);
}

/// Starts a process that holds the lock.
async fn holder(socket: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold", "--nocapture"])
        .env(SOCKET, socket)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains(HELD) {}
    child
}

#[tokio::test]
async fn the_locks_of_a_killed_process_are_free_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(folder.path()).await;
    let socket = folder.path().join("locks.sock");
    let locks = LocalLocks::new(&socket);
    let mut holder = holder(&socket).await;
    assert!(locks.acquire("a", LONG, Duration::ZERO).await.unwrap().is_none());
    holder.kill().await.unwrap();
    let lease = locks.acquire("a", LONG, LONG / 5).await.unwrap();
    let lease = lease.expect("its lease would have lasted far longer than we have waited");
    assert!(lease.renew(LONG).await.unwrap());
    assert!(locks.acquire("a", LONG, Duration::ZERO).await.unwrap().is_none());
    drop(lease);
    assert!(locks.acquire("a", LONG, LONG).await.unwrap().is_some());
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(folder.path()).await;
    let locks = LocalLocks::new(folder.path().join("locks.sock"));
    let short = locks.acquire("a", Duration::from_millis(50), Duration::ZERO);
    let forgotten = short.await.unwrap().unwrap();
    assert!(locks.acquire("a", LONG, LONG).await.unwrap().is_some());
    assert!(!forgotten.renew(LONG).await.unwrap());
    runtime.shutdown().await;
}
