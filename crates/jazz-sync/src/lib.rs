//! The sync server: relays and keeps CoValues for clients that speak the Jazz protocol over WebSocket, jazz-tools
//! among them.
//!
//! It holds no keys and reads nothing that is private. It verifies every signature, acknowledges only what is durable,
//! and pushes what is new to whoever asked for it. `GET /healthz` says that it lives; every other path, upgraded, is
//! the same sync endpoint.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = jazz_sync::Settings::new("jazz.db".into());
//! let server = jazz_sync::Server::bind("127.0.0.1:4200".parse()?, settings).await?;
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod connection;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use jazz::driver::Driver;
use jazz::storage::{Durability, SqliteStorage, StorageError};
use jazz::transport::FRAME_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to end when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub storage: PathBuf,
    /// When a write counts as durable.
    pub durability: Durability,
    /// Most connections at once.
    pub connections_max: usize,
    /// Most bytes that wait for one slow reader before it is cut off.
    pub queue_bytes_max: usize,
}

impl Settings {
    /// The defaults: durable against loss of power, 10,000 connections, 64 MiB for a slow reader.
    pub fn new(storage: PathBuf) -> Self {
        Self {
            storage,
            durability: Durability::default(),
            connections_max: 10_000,
            queue_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// The server can't start or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error("cannot use the database {path}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<StorageError>,
    },
    /// The operating system refused something.
    #[error("the server failed")]
    Io(#[from] std::io::Error),
}

/// A server that is bound to its address and has opened its storage.
pub struct Server {
    listener: TcpListener,
    driver: Driver,
    settings: Settings,
}

#[derive(Clone)]
struct Shared {
    driver: Driver,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    queue_bytes_max: usize,
}

impl Server {
    /// Opens the storage and starts to listen.
    pub async fn bind(address: SocketAddr, settings: Settings) -> Result<Self, ServerError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        let path = settings.storage.clone();
        let storage =
            SqliteStorage::open(&path, settings.durability).map_err(|source| ServerError::Storage {
                path,
                source: Arc::new(source),
            })?;
        let driver = Driver::with_storage(cojson::Node::new(true), Box::new(storage))?;
        Ok(Self {
            listener,
            driver,
            settings,
        })
    }

    /// Returns the address, with the port that was chosen if 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the node behind the server; for tests and for nodes of the same process.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Serves until `stop` is ready, then ends every connection and writes what is left.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let shared = Shared {
            driver: self.driver.clone(),
            connections: Arc::new(Semaphore::new(self.settings.connections_max)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            queue_bytes_max: self.settings.queue_bytes_max,
        };
        let app = Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .fallback(sync)
            .with_state(shared.clone());
        // A message must not wait until the one before it is acknowledged.
        let listener = self.listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let serving =
            axum::serve(listener, app).with_graceful_shutdown(shared.stopping.clone().cancelled_owned());
        let mut serving = tokio::spawn(serving.into_future());
        let result = tokio::select! {
            () = stop => Ok(()),
            source = self.driver.storage_failed() => {
                Err(ServerError::Storage { path: self.settings.storage.clone(), source })
            }
            ended = &mut serving => ended.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(Into::into),
        };
        shared.stopping.cancel();
        shared.tasks.close();
        let drained = tokio::time::timeout(DRAIN_TIME, shared.tasks.wait()).await;
        if drained.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        serving.abort();
        self.driver.shutdown().await;
        result
    }
}

/// Any upgrade is a sync connection; anything else is told so.
async fn sync(
    State(shared): State<Shared>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (
            StatusCode::UPGRADE_REQUIRED,
            "this is a sync server: connect by WebSocket\n",
        )
            .into_response();
    };
    let Ok(permit) = shared.connections.clone().try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [("Retry-After", "5")],
            "too many connections\n",
        )
            .into_response();
    };
    upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| {
            let Shared {
                driver,
                tasks,
                stopping,
                queue_bytes_max,
                ..
            } = shared;
            tasks.track_future(async move {
                connection::run(socket, &driver, queue_bytes_max, &stopping).await;
                drop(permit);
            })
        })
}
