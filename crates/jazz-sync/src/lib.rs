//! The sync server: relays and keeps CoValues for clients that speak the Jazz protocol over WebSocket, jazz-tools
//! among them.
//!
//! It holds no keys and reads nothing that is private. It verifies every signature, acknowledges only what is durable,
//! and pushes what is new to whoever asked for it. Everything that a client can make it hold has a bound; a client
//! that exceeds one is disconnected, and told why.
//!
//! `GET /healthz` says that it lives, `GET /readyz` that it can serve, `GET /metrics` how it does; any path, upgraded,
//! is the sync endpoint.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = jazz_sync::Settings::new("jazz.db".into());
//! let server = jazz_sync::Server::bind("127.0.0.1:4200".parse()?, settings).await?;
//! server.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod connection;
mod http;
mod metrics;
mod settings;
mod storage;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jazz::driver::Driver;
use jazz::storage::{SqliteStorage, StorageError};
use jazz::transport::QueueLimits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use cache::Cache;
use connection::Refusal;
use http::Clients;
use metrics::Metrics;
use storage::ServerStorage;

pub use settings::{Limits, Settings};
pub use tls::{Certificate, TlsError, TlsFiles};

/// How long connections may take to end when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long a client may take for TLS, and again for each request until it is upgraded.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Longest head of a request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Sockets beyond the clients: for health checks, metrics, and for telling others that there are too many.
const SPARE_SOCKETS: usize = 256;
/// After this long without any answer from its machine a client is gone.
const SILENCE_MILLIS_MAX: u32 = 60_000;
/// Wait when the operating system has no more sockets.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

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
    /// The certificate can't be used.
    #[error("cannot use TLS")]
    Tls(#[from] TlsError),
    /// The operating system refused something.
    #[error("the server failed")]
    Io(#[from] std::io::Error),
}

/// A server that is bound to its address and has opened its storage.
pub struct Server {
    listener: TcpListener,
    certificate: Option<Certificate>,
    storage: PathBuf,
    shared: Shared,
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    driver: Driver,
    limits: Arc<Limits>,
    queues: QueueLimits,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    clients: Arc<Clients>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Server {
    /// Opens the storage and starts to listen.
    pub async fn bind(address: SocketAddr, settings: Settings) -> Result<Self, ServerError> {
        let Settings {
            storage,
            durability,
            tls,
            limits,
        } = settings;
        let certificate = tls.map(Certificate::load).transpose()?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        let metrics = Arc::new(Metrics::default());
        let cache = Arc::new(Cache::new(limits.cache_bytes_max));
        let sqlite = SqliteStorage::open(&storage, durability)
            .and_then(|sqlite| ServerStorage::new(sqlite, metrics.clone(), cache.clone()))
            .map_err(|source| ServerError::Storage {
                path: storage.clone(),
                source: Arc::new(source),
            })?;
        let shared = Shared {
            driver: Driver::with_storage(cojson::Node::new(true), Box::new(sqlite))?,
            queues: QueueLimits::new(limits.queue_bytes_max, limits.queue_bytes_total_max),
            limits: Arc::new(limits),
            cache,
            metrics,
            clients: Arc::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            certificate,
            storage,
            shared,
        })
    }

    /// Returns the address, with the port that was chosen if 0 was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the node behind the server; for tests and for nodes of the same process.
    pub fn driver(&self) -> &Driver {
        &self.shared.driver
    }

    /// Returns the certificate in use, to read it anew when it was renewed.
    pub fn certificate(&self) -> Option<Certificate> {
        self.certificate.clone()
    }

    /// Serves until `stop` is ready, then ends every connection and writes what is left.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), ServerError> {
        let Self {
            listener,
            certificate,
            storage,
            shared,
        } = self;
        let result = tokio::select! {
            () = stop => Ok(()),
            source = shared.driver.storage_failed() => Err(ServerError::Storage { path: storage, source }),
            () = accept(&listener, certificate.as_ref(), &shared) => Ok(()),
            () = shared.cache.keep_small(&shared.driver) => Ok(()),
        };
        drop(listener);
        shared.stopping.cancel();
        shared.tasks.close();
        if timeout(DRAIN_TIME, shared.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        shared.driver.shutdown().await;
        result
    }
}

/// Takes connections, for ever.
async fn accept(listener: &TcpListener, certificate: Option<&Certificate>, shared: &Shared) {
    let sockets = Arc::new(Semaphore::new(shared.limits.connections_max + SPARE_SOCKETS));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most often there are too many open files; some will be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(socket) = sockets.clone().try_acquire_owned() else {
            shared.metrics.refused(Refusal::TooManyConnections);
            continue;
        };
        // A message must not wait until the one before it is acknowledged.
        let _ = stream.set_nodelay(true);
        // Without this, a client whose machine is gone stays connected for a quarter of an hour.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, SILENCE_MILLIS_MAX);
        let acceptor = certificate.map(Certificate::acceptor);
        let (tasks, shared) = (&shared.tasks, shared.clone());
        tasks.spawn(async move {
            match acceptor {
                None => serve(stream, address.ip(), socket, shared).await,
                Some(acceptor) => match timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, address.ip(), socket, shared).await,
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS connection"),
                    Err(_) => tracing::debug!(%address, "a TLS connection took too long"),
                },
            }
        });
    }
}

/// Answers the requests on a connection until one of them upgrades it, or the client takes too long.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: IpAddr,
    socket: OwnedSemaphorePermit,
    shared: Shared,
) {
    let socket = Arc::new(socket);
    let service = service_fn(|request| {
        let (shared, socket) = (&shared, &socket);
        async move { Ok::<_, Infallible>(http::respond(request, address, socket, shared).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIME)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%address, %error, "a connection broke before it was upgraded");
            }
        }
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
