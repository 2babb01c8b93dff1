//! What is asked by HTTP: health, readiness, metrics, and the upgrade to WebSocket at any path.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use crate::connection::{self, Refusal};
use crate::metrics::Now;
use crate::{Limits, Shared};

/// Storage that takes longer than this for nothing isn't ready.
const STORAGE_ANSWER_TIME: Duration = Duration::from_secs(5);

type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub async fn respond(
    request: Request<Incoming>,
    address: IpAddr,
    socket: &Arc<OwnedSemaphorePermit>,
    shared: &Shared,
) -> Answer {
    if request.headers().contains_key(hyper::header::UPGRADE) {
        return upgrade(request, address, socket, shared);
    }
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    match request.uri().path() {
        "/healthz" if is_get => text(StatusCode::OK, "ok\n"),
        "/readyz" if is_get => ready(shared).await,
        "/metrics" if is_get => metrics(shared),
        _ => text(
            StatusCode::UPGRADE_REQUIRED,
            "this is a sync server: connect by WebSocket\n",
        ),
    }
}

async fn ready(shared: &Shared) -> Answer {
    if shared.stopping.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match timeout(STORAGE_ANSWER_TIME, shared.driver.wait_for_storage()).await {
        Ok(()) => text(StatusCode::OK, "ready\n"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "storage does not answer\n"),
    }
}

fn metrics(shared: &Shared) -> Answer {
    let now = Now {
        connections: shared.clients.count() as u64,
        values: shared.driver.with(|node, _| node.values().len()) as u64,
        values_bytes: shared.cache.bytes() as u64,
        queue_bytes: shared.queues.waiting_bytes() as u64,
        content_refused: shared.driver.refused(),
    };
    let mut answer = text(StatusCode::OK, shared.metrics.render(&now));
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn upgrade(
    mut request: Request<Incoming>,
    address: IpAddr,
    socket: &Arc<OwnedSemaphorePermit>,
    shared: &Shared,
) -> Answer {
    let answer = match create_response_with_body(&request, Full::default) {
        Ok(answer) => answer,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let client = match Clients::admit(&shared.clients, address, &shared.limits) {
        Ok(client) => client,
        Err(refusal) => {
            shared.metrics.refused(refusal);
            let mut answer = match refusal {
                Refusal::TooManyFromAddress => text(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many connections from your address\n",
                ),
                _ => text(StatusCode::SERVICE_UNAVAILABLE, "too many connections\n"),
            };
            let seconds = hyper::header::HeaderValue::from_static("5");
            answer.headers_mut().insert(RETRY_AFTER, seconds);
            return answer;
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let (socket, shared) = (socket.clone(), shared.clone());
    shared.tasks.clone().spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            shared.metrics.connections_opened.add(1);
            connection::run(TokioIo::new(upgraded), &shared).await;
        }
        drop((client, socket));
    });
    answer
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer
}

/// Who is connected, counted by address.
#[derive(Default)]
pub struct Clients(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A client that counts until this is dropped.
struct Client {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Clients {
    pub fn count(&self) -> usize {
        self.0.lock().total
    }

    fn admit(clients: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Client, Refusal> {
        let mut counts = clients.0.lock();
        if counts.total >= limits.connections_max {
            return Err(Refusal::TooManyConnections);
        }
        let from_address = counts.by_address.entry(address).or_default();
        if limits
            .connections_per_address_max
            .is_some_and(|max| *from_address >= max)
        {
            return Err(Refusal::TooManyFromAddress);
        }
        *from_address += 1;
        counts.total += 1;
        Ok(Client {
            clients: clients.clone(),
            address,
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock();
        counts.total -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}
