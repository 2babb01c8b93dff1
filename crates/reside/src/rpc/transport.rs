//! What carries sealed calls: HTTP between processes, or a function call within one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use jazz::request::{Answer, ERROR_HEADER};
use jazz::transport::Trust;
use parking_lot::RwLock;
use tower::ServiceExt as _;

use super::jazz_form::JSON;
use super::server::BODY_BYTES_MAX;
use super::wire::{CALL_HEADER, SEALED};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends sealed calls.
pub trait Transport: Send + Sync + 'static {
    /// Posts a sealed body with its call header.
    fn post(&self, url: String, call: String, body: Vec<u8>) -> BoxFuture<'_, Result<Reply, TransportError>>;
}

/// An HTTP response.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body is sealed.
    pub is_sealed: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// There was no response.
#[derive(Debug)]
pub struct TransportError {
    problem: String,
    never_sent: bool,
}

impl TransportError {
    /// The callee was not reached at all.
    pub fn unreachable(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            never_sent: true,
        }
    }

    /// The connection broke before the response was complete.
    pub fn broken(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            never_sent: false,
        }
    }

    /// Something on the way, or the callee without proof, says that it isn't available.
    pub fn unavailable(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            never_sent: false,
        }
    }

    /// The deadline passed.
    pub fn timeout() -> Self {
        Self::broken("the deadline has passed")
    }

    /// Whether the call can't have reached the callee.
    pub fn never_sent(&self) -> bool {
        self.never_sent
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// HTTP/1.1 with kept connections, and HTTPS to whom this machine trusts.
pub struct HttpTransport {
    plain: Client<HttpConnector, Full<bytes::Bytes>>,
    /// Made when it is first needed: most replicas never do.
    tls: OnceLock<Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>>>,
    trust: Trust,
}

impl Default for HttpTransport {
    fn default() -> Self {
        Self::trusting(Trust::system())
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.enforce_http(false);
    connector
}

fn client<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Client<C, Full<bytes::Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .build(connector)
}

impl HttpTransport {
    /// Connects by HTTPS to those whom `trust` vouches for.
    pub fn trusting(trust: Trust) -> Self {
        Self {
            plain: client(connector()),
            tls: OnceLock::new(),
            trust,
        }
    }

    fn tls(&self) -> &Client<HttpsConnector<HttpConnector>, Full<bytes::Bytes>> {
        self.tls.get_or_init(|| {
            let https = HttpsConnectorBuilder::new().with_tls_config((*self.trust.config()).clone());
            client(https.https_only().enable_http1().wrap_connector(connector()))
        })
    }

    /// Posts a request in the Jazz form.
    pub(super) async fn post_json(&self, url: &str, body: Vec<u8>) -> Result<Answer, TransportError> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, JSON)
            .body(Full::from(body))
            .map_err(|error| TransportError::unreachable(format!("{url}: {error}")))?;
        let response = self.send(url, request).await?;
        let is_request_error = response.headers().contains_key(ERROR_HEADER);
        let Reply { status, body, .. } = read(response).await?;
        Ok(Answer {
            status,
            is_request_error,
            body,
        })
    }

    async fn send(
        &self,
        url: &str,
        request: Request<Full<bytes::Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, TransportError> {
        let sending = match request.uri().scheme_str() {
            Some("https") => self.tls().request(request),
            _ => self.plain.request(request),
        };
        sending.await.map_err(|error| {
            let problem = format!("{url}: {}", root_cause(&error));
            if error.is_connect() {
                TransportError::unreachable(problem)
            } else {
                TransportError::broken(problem)
            }
        })
    }
}

impl Transport for HttpTransport {
    fn post(&self, url: String, call: String, body: Vec<u8>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        Box::pin(async move {
            let request = request(&url, &call, Full::from(body))?;
            read(self.send(&url, request).await?).await
        })
    }
}

/// Calls between replicas of one process, by the base URL under which each was added.
#[derive(Clone, Default)]
pub struct InMemoryTransport(Arc<RwLock<HashMap<String, Router>>>);

impl InMemoryTransport {
    /// Makes a replica reachable under its prefix `{endpoint}/replicas/{name}/`.
    pub fn add(&self, endpoint: &str, name: &str, router: Router) {
        self.0
            .write()
            .insert(format!("{endpoint}/replicas/{name}/"), router);
    }

    /// Makes a replica unreachable.
    pub fn remove(&self, endpoint: &str, name: &str) {
        self.0.write().remove(&format!("{endpoint}/replicas/{name}/"));
    }
}

impl Transport for InMemoryTransport {
    fn post(&self, url: String, call: String, body: Vec<u8>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        let routers = self.0.read();
        let router = routers
            .iter()
            .find(|(prefix, _)| url.starts_with(prefix.as_str()))
            .map(|(_, router)| router.clone());
        drop(routers);
        Box::pin(async move {
            let router =
                router.ok_or_else(|| TransportError::unreachable(format!("{url}: nobody is there")))?;
            let request = request(&url, &call, Body::from(body))?;
            let Ok(response) = router.oneshot(request).await;
            read(response).await
        })
    }
}

fn request<B>(url: &str, call: &str, body: B) -> Result<Request<B>, TransportError> {
    Request::post(url)
        .header(header::CONTENT_TYPE, SEALED)
        .header(CALL_HEADER, call)
        .body(body)
        .map_err(|error| TransportError::unreachable(format!("{url}: {error}")))
}

async fn read<B>(response: http::Response<B>) -> Result<Reply, TransportError>
where
    B: axum::body::HttpBody + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status().as_u16();
    let is_sealed = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == SEALED);
    // Responses may be longer than requests, but not without end.
    let body = Limited::new(response.into_body(), 4 * BODY_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(|error| TransportError::broken(error.to_string()))?;
    Ok(Reply {
        status,
        is_sealed,
        body: body.to_bytes().to_vec(),
    })
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
