//! The lock service of the local runtime: HTTP with JSON over a Unix socket. A lease lives as long as the connection it
//! was granted on.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use super::{Lease, LockService};
use crate::contract::BoxError;

/// Longest line that is read.
const LINE_BYTES_MAX: usize = 4096;

/// Talks to the runtime behind `RESIDE_LOCK_SOCKET`.
#[derive(Clone, Debug)]
pub struct LocalLocks {
    socket: PathBuf,
}

/// A lease, and the connection that keeps it.
struct LocalLease {
    service: LocalLocks,
    name: String,
    fence: u64,
    _answer: Answer,
}

/// An answer that may go on; dropping it closes its connection.
struct Answer {
    body: Incoming,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

/// What the service says of a lease.
#[derive(Deserialize)]
struct Granted {
    fence: u64,
}

impl LocalLocks {
    /// Uses the lock service behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Asks the service; `None` if it answers that the lock or the lease is not to be had.
    async fn ask(&self, what: &str, body: Value) -> Result<Option<Answer>, BoxError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = Request::post(format!("/locks/{what}"))
            .header("host", "runtime")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(Answer {
                body: response.into_body(),
                _connection: connection,
            })),
            StatusCode::CONFLICT => Ok(None),
            other => Err(format!("the lock service answers {other}").into()),
        }
    }
}

impl Answer {
    /// Reads the first line.
    async fn line(&mut self) -> Result<Vec<u8>, BoxError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let frame = self.body.frame().await.ok_or("the lock service breaks off")??;
            line.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if line.len() > LINE_BYTES_MAX {
                return Err("the lock service answers at too great a length".into());
            }
        }
        Ok(line)
    }
}

impl LockService for LocalLocks {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        ttl: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Lease>>, BoxError>> {
        let body = json!({ "name": name, "ttlMs": millis(ttl), "waitMs": millis(wait) });
        async move {
            let Some(mut answer) = self.ask("acquire", body).await? else {
                return Ok(None);
            };
            let Granted { fence } = serde_json::from_slice(&answer.line().await?)?;
            let lease: Box<dyn Lease> = Box::new(LocalLease {
                service: self.clone(),
                name: name.to_owned(),
                fence,
                _answer: answer,
            });
            Ok(Some(lease))
        }
        .boxed()
    }
}

impl Lease for LocalLease {
    fn renew(&self, ttl: Duration) -> BoxFuture<'_, Result<bool, BoxError>> {
        let body = json!({ "name": self.name, "fence": self.fence, "ttlMs": millis(ttl) });
        async move { Ok(self.service.ask("renew", body).await?.is_some()) }.boxed()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
