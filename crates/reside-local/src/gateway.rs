//! The gateway: a reverse proxy from path prefixes (Ingress) to the processes of services. Paths go through unchanged,
//! bodies are streamed, WebSockets are passed through.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::controller::Context;
use crate::manifest::{Checked, Kind};

/// Headers that concern one connection only (RFC 9110, 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[derive(Clone)]
struct Gateway {
    context: Arc<Context>,
    client: Client<HttpConnector, Body>,
}

/// Where a path leads.
enum Target {
    /// To this port, where a process is being called for as long as the token lives.
    Port(u16, TaskTrackerToken),
    /// To a service none of whose processes takes calls.
    NotReady,
    /// Nowhere.
    Unknown,
}

/// Returns the gateway as a router that takes every path.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    Router::new()
        .fallback(proxy)
        .with_state(Gateway { context, client })
}

async fn proxy(State(gateway): State<Gateway>, request: Request) -> Response {
    match route(&gateway.context, request.uri().path()) {
        Target::Port(port, _being_called) => forward(&gateway, port, request).await,
        Target::NotReady => not_ready(),
        Target::Unknown => (StatusCode::NOT_FOUND, "nothing is served under this path\n").into_response(),
    }
}

fn not_ready() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "1")],
        "not ready\n",
    )
        .into_response()
}

/// Finds the target of the longest prefix that fits.
fn route(context: &Context, path: &str) -> Target {
    let ingresses = context.store.checked(|kind| kind == Kind::Ingress);
    let paths = ingresses.iter().flat_map(|(.., checked)| match checked {
        Checked::Ingress(spec) => spec.rules.iter().flat_map(|rule| &rule.http.paths).collect(),
        _ => Vec::new(),
    });
    let Some(found) = paths
        .filter(|route| has_prefix(path, &route.path))
        .max_by_key(|route| route.path.len())
    else {
        return Target::Unknown;
    };
    let backend = &found.backend.service;
    let Some((_, Checked::Service(service))) = context.store.get(&(Kind::Service, backend.name.clone()))
    else {
        return Target::NotReady;
    };
    let port = service.ports.iter().find(|port| port.port == backend.port.number);
    let port = port.map_or(backend.port.number, |port| port.target_port.unwrap_or(port.port));
    context
        .endpoints
        .find(&service.selector, port)
        .map_or(Target::NotReady, |(port, token)| Target::Port(port, token))
}

/// Prefixes match whole segments.
fn has_prefix(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn forward(gateway: &Gateway, port: u16, mut request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let Ok(uri) = format!("http://127.0.0.1:{port}{path}").parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    *request.uri_mut() = uri;
    strip(request.headers_mut());
    if let Some(upgrade) = upgrade {
        request
            .headers_mut()
            .insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(header::UPGRADE, upgrade);
    }
    let mut response = match gateway.client.request(request).await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return not_ready(),
        Err(_) => return (StatusCode::BAD_GATEWAY, "the replica broke off\n").into_response(),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server_side = hyper::upgrade::on(&mut response);
        if let Some(client_side) = client_side {
            tokio::spawn(tunnel(client_side, server_side));
        }
    } else {
        strip(response.headers_mut());
    }
    response.map(Body::new)
}

/// Passes bytes both ways until either side ends.
async fn tunnel(client: hyper::upgrade::OnUpgrade, server: hyper::upgrade::OnUpgrade) {
    if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
        // A connection that breaks off ends the other one; there is nobody to tell.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
    }
}

/// Removes the headers that concern one connection only, and those that `Connection` says do.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::has_prefix;

    #[test]
    fn prefixes_match_whole_segments() {
        assert!(has_prefix("/replicas/a/rpc", "/replicas/a/"));
        assert!(has_prefix("/anything", "/"));
        assert!(!has_prefix("/replicas/ab/rpc", "/replicas/a/"));
    }
}
