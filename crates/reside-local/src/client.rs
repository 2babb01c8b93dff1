//! A client of the runtime's API.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::api::{ErrorBody, Event};
use crate::logs::LogLine;
use crate::manifest::Kind;
use crate::stand_in::{Ready, StandIn};

/// The runtime can't be asked, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("the runtime does not answer on {socket}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or the answer can't be read.
    #[error("the runtime broke off: {0}")]
    Broken(String),
    /// The manifest is refused.
    #[error("{0}")]
    Refused(String),
    /// There is no such object.
    #[error("no such object")]
    NotFound,
    /// The runtime can't do it.
    #[error("the runtime failed: {0}")]
    Failed(String),
}

/// A change of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum ObjectEvent {
    /// The object as it is now.
    Live {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// The object with its status.
        live: Value,
    },
    /// There is no such object any more.
    Gone {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// All objects that exist have been told; from now on come changes.
    Synced,
}

/// Talks to the runtime behind a socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RuntimeClient {
    socket: PathBuf,
}

impl RuntimeClient {
    /// A client for the runtime behind this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes an object be as the manifest says; returns it as it is.
    pub async fn apply(&self, kind: Kind, name: &str, manifest: &Value) -> Result<Value, ClientError> {
        let body = Full::from(manifest.to_string());
        let response = self
            .send(Method::PUT, &format!("/objects/{kind}/{name}"), body)
            .await?;
        read_json(response).await
    }

    /// Removes an object; that there is none is no error.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), ClientError> {
        self.send(
            Method::DELETE,
            &format!("/objects/{kind}/{name}"),
            Full::default(),
        )
        .await
        .map(drop)
    }

    /// Returns an object as it is.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, ClientError> {
        match self
            .send(Method::GET, &format!("/objects/{kind}/{name}"), Full::default())
            .await
        {
            Ok(response) => read_json(response).await.map(Some),
            Err(ClientError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns all objects, then every change, until the connection ends.
    pub async fn watch(&self) -> Result<BoxStream<'static, ObjectEvent>, ClientError> {
        let response = self.send(Method::GET, "/watch", Full::default()).await?;
        Ok(lines(response)
            .filter_map(|line| async move {
                if line.is_empty() {
                    return Some(ObjectEvent::Synced);
                }
                let Event { kind, name, live } = serde_json::from_str(&line).ok()?;
                Some(match live {
                    Some(live) => ObjectEvent::Live { kind, name, live },
                    None => ObjectEvent::Gone { kind, name },
                })
            })
            .boxed())
    }

    /// Returns the last lines of a workload's log and, if it is to be followed, those to come.
    pub async fn logs(
        &self,
        workload: &str,
        tail: usize,
        follow: bool,
    ) -> Result<BoxStream<'static, LogLine>, ClientError> {
        let path = format!("/logs/{workload}?tail={tail}&follow={follow}");
        let response = self.send(Method::GET, &path, Full::default()).await?;
        Ok(lines(response)
            .filter_map(|line| async move { serde_json::from_str(&line).ok() })
            .boxed())
    }

    /// Has a process that the caller runs take calls, for as long as the stream lives; it yields whether the process is
    /// ready, and ends with the runtime.
    pub async fn stand_in(&self, stand_in: &StandIn) -> Result<BoxStream<'static, bool>, ClientError> {
        let body = serde_json::to_vec(stand_in).map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = self.send(Method::POST, "/stand-ins", Full::from(body)).await?;
        let ready = |line: String| Some(serde_json::from_str::<Ready>(&line).ok()?.ready);
        Ok(lines(response)
            .filter_map(move |line| std::future::ready(ready(line)))
            .boxed())
    }

    /// Asks the runtime to end all processes and itself.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        self.send(Method::POST, "/shutdown", Full::default())
            .await
            .map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Full<Bytes>,
    ) -> Result<Response<Incoming>, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            socket: self.socket.clone(),
            source,
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "runtime")
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let message = match read_json::<ErrorBody>(response).await {
            Ok(error) => error.message,
            Err(_) => status.to_string(),
        };
        Err(match status {
            StatusCode::NOT_FOUND => ClientError::NotFound,
            StatusCode::UNPROCESSABLE_ENTITY => ClientError::Refused(message),
            _ => ClientError::Failed(message),
        })
    }
}

async fn read_json<T: serde::de::DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let broken = |error: &dyn std::error::Error| ClientError::Broken(error.to_string());
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| broken(&error))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| broken(&error))
}

/// The lines of a body, as they come.
fn lines(response: Response<Incoming>) -> impl stream::Stream<Item = String> + Send {
    stream::unfold(
        (response.into_body(), Vec::new()),
        |(mut body, mut buffer)| async move {
            loop {
                if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let rest = buffer.split_off(end + 1);
                    buffer.pop();
                    let line = String::from_utf8_lossy(&buffer).into_owned();
                    return Some((line, (body, rest)));
                }
                let frame = body.frame().await?.ok()?;
                if let Ok(data) = frame.into_data() {
                    buffer.extend_from_slice(&data);
                }
            }
        },
    )
}
