//! The lock service of the local runtime: HTTP with JSON over a Unix socket.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::{Fence, LockService};
use crate::contract::BoxError;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4096;

/// Talks to the runtime behind `RESIDE_LOCK_SOCKET`.
#[derive(Clone, Debug)]
pub struct LocalLocks {
    socket: PathBuf,
}

#[derive(Deserialize)]
struct Lease {
    fence: Fence,
}

impl LocalLocks {
    /// Uses the lock service behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Asks the service; `None` if it answers that the lock or the lease is not to be had.
    async fn ask(&self, what: &str, body: Value) -> Result<Option<Bytes>, BoxError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(format!("/locks/{what}"))
            .header("host", "runtime")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await?
            .to_bytes();
        connection.abort();
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::CONFLICT => Ok(None),
            other => Err(format!("the lock service answers {other}").into()),
        }
    }
}

impl LockService for LocalLocks {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        ttl: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Fence>, BoxError>> {
        let body = json!({ "name": name, "ttlMs": millis(ttl), "waitMs": millis(wait) });
        async move {
            let answer = self.ask("acquire", body).await?;
            Ok(answer
                .map(|body| serde_json::from_slice::<Lease>(&body))
                .transpose()?
                .map(|lease| lease.fence))
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        name: &'a str,
        fence: Fence,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, BoxError>> {
        let body = json!({ "name": name, "fence": fence, "ttlMs": millis(ttl) });
        async move { Ok(self.ask("renew", body).await?.is_some()) }.boxed()
    }

    fn release<'a>(&'a self, name: &'a str, fence: Fence) -> BoxFuture<'a, Result<(), BoxError>> {
        let body = json!({ "name": name, "fence": fence });
        async move { self.ask("release", body).await.map(drop) }.boxed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
