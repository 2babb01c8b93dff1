//! The runtime's private API: HTTP with JSON over a Unix socket that only its user can open.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::StreamExt as _;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::controller::Context;
use crate::logs::LogLine;
use crate::manifest::Kind;
use crate::stand_in::{self, StandIn};
use crate::store::{Key, Store, StoreError};

/// Lines of a log that are shown unless said otherwise.
const TAIL: usize = 200;

/// One line of a watch: an object as it is, or `null` if it is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub kind: Kind,
    pub name: String,
    pub live: Option<Value>,
}

/// An error as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub message: String,
}

#[derive(Clone)]
struct Api {
    context: Arc<Context>,
    stop: CancellationToken,
}

/// The API as a router.
pub(crate) fn router(context: Arc<Context>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/objects/{kind}/{name}", put(apply).delete(delete).get(show))
        .route("/watch", get(watch))
        .route("/logs/{name}", get(logs))
        .route("/stand-ins", post(stand_in))
        .route("/shutdown", post(shutdown))
        .with_state(Api { context, stop })
}

/// Why a request isn't done.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorBody { message: self.1 })).into_response()
    }
}

fn refuse(status: StatusCode, message: impl ToString) -> Refusal {
    Refusal(status, message.to_string())
}

fn kind_of(text: &str) -> Result<Kind, Refusal> {
    text.parse()
        .map_err(|error| refuse(StatusCode::UNPROCESSABLE_ENTITY, error))
}

async fn apply(
    State(api): State<Api>,
    Path((kind, name)): Path<(String, String)>,
    Json(manifest): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let kind = kind_of(&kind)?;
    match api.context.store.apply(kind, &name, manifest) {
        Ok(object) => Ok(Json(object.live())),
        Err(StoreError::Manifest(error)) => Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, error)),
        Err(StoreError::Io(error)) => Err(refuse(StatusCode::INSUFFICIENT_STORAGE, error)),
    }
}

async fn delete(
    State(api): State<Api>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let kind = kind_of(&kind)?;
    match api.context.store.delete(kind, &name) {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(refuse(StatusCode::INSUFFICIENT_STORAGE, error)),
    }
}

async fn show(
    State(api): State<Api>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let key = (kind_of(&kind)?, name);
    match api.context.store.get(&key) {
        Some((object, _)) => Ok(Json(object.live())),
        None => Err(refuse(StatusCode::NOT_FOUND, "no such object")),
    }
}

fn event(store: &Store, key: Key) -> Event {
    let live = store.get(&key).map(|(object, _)| object.live());
    Event {
        kind: key.0,
        name: key.1,
        live,
    }
}

/// All objects, an empty line, then every change. A watcher that is too slow is cut off and starts again.
async fn watch(State(api): State<Api>) -> Response {
    let changes = api.context.store.watch();
    let present: Vec<String> = api
        .context
        .store
        .list()
        .into_iter()
        .map(|((kind, name), object)| {
            line(&Event {
                kind,
                name,
                live: Some(object.live()),
            })
        })
        .chain(["\n".to_owned()])
        .collect();
    let store = api.context.store.clone();
    let to_come = stream::unfold((changes, store), |(mut changes, store)| async move {
        let key = changes.recv().await.ok()?;
        Some((line(&event(&store, key)), (changes, store)))
    });
    streaming(stream::iter(present).chain(to_come), api.stop)
}

#[derive(Deserialize)]
struct LogQuery {
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

async fn logs(State(api): State<Api>, Path(name): Path<String>, Query(query): Query<LogQuery>) -> Response {
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "no workload name").into_response();
    }
    let (present, lines) = match api.context.logs.follow(&name, query.tail.unwrap_or(TAIL)) {
        Ok(log) => log,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    };
    let present = stream::iter(present.into_iter().map(|log| line(&log)).collect::<Vec<_>>());
    if !query.follow {
        return streaming(present, api.stop);
    }
    let to_come = stream::unfold(lines, |mut lines| async move {
        match lines.recv().await {
            Ok(log) => Some((line(&log), lines)),
            Err(RecvError::Lagged(missed)) => {
                let note = LogLine {
                    time: String::new(),
                    text: format!("[reside] {missed} lines missed"),
                };
                Some((line(&note), lines))
            }
            Err(RecvError::Closed) => None,
        }
    });
    streaming(present.chain(to_come), api.stop)
}

/// Lines that say whether the stand-in is ready. Closing the connection takes it away.
async fn stand_in(State(api): State<Api>, Json(stand_in): Json<StandIn>) -> Response {
    let lines = stand_in::stand_in(api.context.clone(), stand_in).map(|ready| line(&ready));
    streaming(lines, api.stop)
}

async fn shutdown(State(api): State<Api>) -> StatusCode {
    api.stop.cancel();
    StatusCode::ACCEPTED
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

fn streaming(
    lines: impl stream::Stream<Item = String> + Send + 'static,
    stop: CancellationToken,
) -> Response {
    let lines = lines
        .take_until(stop.cancelled_owned())
        .map(|line| Ok::<_, std::convert::Infallible>(Bytes::from(line)));
    Response::new(Body::from_stream(lines))
}
