//! The lock service over real connections, one per holder, as processes have them.

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{SOON, start};

/// Longer than any test: such a lease doesn't end by itself.
const LONG: u64 = 600_000;

/// An answer and its connection, which is closed when this is dropped.
struct Answer {
    status: StatusCode,
    body: Incoming,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

async fn ask(folder: &Path, what: &str, body: Value) -> Answer {
    let stream = UnixStream::connect(folder.join("locks.sock")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::post(format!("/locks/{what}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    Answer {
        status: response.status(),
        body: response.into_body(),
        _connection: connection,
    }
}

async fn acquire(folder: &Path, ttl_ms: u64, wait_ms: u64) -> Answer {
    let asked = json!({ "name": "a", "ttlMs": ttl_ms, "waitMs": wait_ms });
    let answer = timeout(SOON, ask(folder, "acquire", asked)).await;
    answer.expect("the lock is never to be had")
}

async fn renew(folder: &Path, fence: u64) -> StatusCode {
    let asked = json!({ "name": "a", "fence": fence, "ttlMs": LONG });
    ask(folder, "renew", asked).await.status
}

impl Answer {
    async fn fence(&mut self) -> u64 {
        assert_eq!(self.status, StatusCode::OK);
        let line = self.body.frame().await.unwrap().unwrap().into_data().unwrap();
        serde_json::from_slice::<Value>(&line).unwrap()["fence"]
            .as_u64()
            .unwrap()
    }
}

#[tokio::test]
async fn a_lease_ends_with_its_connection() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let mut holder = acquire(folder.path(), LONG, 0).await;
    let first = holder.fence().await;
    assert_eq!(acquire(folder.path(), LONG, 0).await.status, StatusCode::CONFLICT);
    assert_eq!(renew(folder.path(), first).await, StatusCode::OK);
    drop(holder);
    let mut next = acquire(folder.path(), LONG, LONG).await;
    let second = next.fence().await;
    assert!(second > first);
    assert_eq!(renew(folder.path(), first).await, StatusCode::CONFLICT);
    assert_eq!(renew(folder.path(), second).await, StatusCode::OK);
    drop(next);
    runtime.shutdown().await;

    let runtime = start(folder.path()).await.unwrap();
    let third = acquire(folder.path(), LONG, 0).await.fence().await;
    assert!(third > second, "fences grow over a restart");
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_holder_that_hangs_loses_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let mut hanging = acquire(folder.path(), 50, 0).await;
    let fence = hanging.fence().await;
    let next = acquire(folder.path(), LONG, LONG).await;
    assert_eq!(next.status, StatusCode::OK);
    assert_eq!(renew(folder.path(), fence).await, StatusCode::CONFLICT);
    let rest = timeout(SOON, hanging.body.collect()).await.unwrap().unwrap();
    assert!(rest.to_bytes().is_empty(), "the answer ends with the lease");
    runtime.shutdown().await;
}

#[tokio::test]
async fn whoever_leaves_while_waiting_gives_up_his_place() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let holder = acquire(folder.path(), LONG, 0).await;
    let path = folder.path().to_owned();
    let leaving = tokio::spawn(async move { acquire(&path, LONG, LONG).await.status });
    let path = folder.path().to_owned();
    let staying = tokio::spawn(async move { acquire(&path, LONG, LONG).await.status });
    // Once this one has been answered, those two have been heard.
    assert_eq!(acquire(folder.path(), LONG, 1).await.status, StatusCode::CONFLICT);
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    drop(holder);
    assert_eq!(staying.await.unwrap(), StatusCode::OK);
    runtime.shutdown().await;
}
