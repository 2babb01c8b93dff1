//! The runtime as a whole: starts everything that is on disk, serves its API, the locks and the gateway, and ends all
//! of it in order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::future::IntoFuture as _;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::controller::{Context, Controller, Endpoints};
use crate::locks::{self, Locks};
use crate::logs::Logs;
use crate::spawn::{Images, Spawner};
use crate::store::Store;
use crate::{RuntimeClient, api, folder_lock, gateway};

/// Environment variable that tells processes where the runtime's API is.
pub const RUNTIME_SOCKET: &str = "RESIDE_RUNTIME_SOCKET";
/// Environment variable that tells processes where the lock service is.
pub const LOCK_SOCKET: &str = "RESIDE_LOCK_SOCKET";

/// How processes are restarted: in the shape of a crash loop in Kubernetes. There the first wait is ten seconds; here a
/// start costs less and somebody is watching.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Wait before the second restart; doubles with each further one.
    pub backoff_base: Duration,
    /// Longest wait between restarts.
    pub backoff_max: Duration,
    /// After running this long, a crash counts as the first.
    pub healthy_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff_base: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            healthy_after: Duration::from_secs(600),
        }
    }
}

/// What a runtime needs.
pub struct RuntimeConfig {
    /// Where it keeps everything; used by one runtime at a time.
    pub folder: PathBuf,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where programs come from.
    pub images: Arc<dyn Images>,
    /// Command that calls [`crate::trampoline::exec`] with the arguments that follow.
    pub trampoline: Vec<OsString>,
    /// How processes are restarted.
    pub settings: Settings,
}

/// The runtime can't start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Another runtime uses the folder.
    #[error("already running as process {pid}")]
    AlreadyRunning {
        /// Its process id.
        pid: u32,
    },
    /// The gateway's address can't be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder can't be used.
    #[error("cannot use the folder {folder}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A running runtime.
pub struct Runtime {
    context: Arc<Context>,
    controller: Arc<Controller>,
    stop: CancellationToken,
    servers: Vec<tokio::task::JoinHandle<()>>,
    gateway: SocketAddr,
    sockets: Sockets,
    /// Held until the end: its lock keeps others out.
    _lock: File,
}

struct Sockets {
    api: PathBuf,
    locks: PathBuf,
}

impl Runtime {
    /// Starts everything that is on disk. Ports and sockets are taken before the first process starts.
    pub async fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let lock = lock_folder(&config.folder)?;
        let failed = |source| RuntimeError::Folder {
            folder: config.folder.clone(),
            source,
        };
        let listener = TcpListener::bind(config.gateway)
            .await
            .map_err(|source| RuntimeError::Listen {
                address: config.gateway,
                source,
            })?;
        let gateway = listener.local_addr().map_err(failed)?;
        let sockets = Sockets {
            api: config.folder.join("runtime.sock"),
            locks: config.folder.join("locks.sock"),
        };
        let api_listener = bind_socket(&sockets.api).map_err(failed)?;
        let lock_listener = bind_socket(&sockets.locks).map_err(failed)?;
        let extra_env = BTreeMap::from([
            (RUNTIME_SOCKET.to_owned(), sockets.api.display().to_string()),
            (LOCK_SOCKET.to_owned(), sockets.locks.display().to_string()),
        ]);
        let context = Arc::new(Context {
            store: Arc::new(Store::open(config.folder.join("objects")).map_err(failed)?),
            logs: Logs::new(config.folder.join("logs")).map_err(failed)?,
            spawner: Spawner::start(config.trampoline, config.folder.join("processes")).map_err(failed)?,
            images: config.images,
            endpoints: Endpoints::default(),
            settings: config.settings,
            extra_env,
            work_folder: config.folder.join("work"),
        });
        let stop = CancellationToken::new();
        let servers = vec![
            serve(listener, gateway::router(context.clone())),
            serve(api_listener, api::router(context.clone(), stop.clone())),
            serve(lock_listener, locks::router(Locks::new())),
        ];
        let controller = Arc::new(Controller::default());
        let runtime = Self {
            context,
            controller,
            stop,
            servers,
            gateway,
            sockets,
            _lock: lock,
        };
        runtime.control();
        Ok(runtime)
    }

    /// Keeps the workloads in step with the objects.
    fn control(&self) {
        let (context, controller, stop) = (self.context.clone(), self.controller.clone(), self.stop.clone());
        let mut changes = context.store.changes();
        controller.reconcile(&context);
        tokio::spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
                controller.reconcile(&context);
            }
        });
    }

    /// Returns the gateway's address.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Returns a client of this runtime.
    pub fn client(&self) -> RuntimeClient {
        RuntimeClient::new(&self.sockets.api)
    }

    /// Waits until somebody asks the runtime to end through its API.
    pub async fn stop_requested(&self) {
        self.stop.cancelled().await;
    }

    /// Ends all processes in order, then the runtime.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.controller.stop().await;
        for server in self.servers {
            server.abort();
        }
        let _ = fs::remove_file(&self.sockets.api);
        let _ = fs::remove_file(&self.sockets.locks);
    }
}

/// Serves until it is aborted: while processes end, calls under way are still answered.
fn serve<L>(listener: L, router: Router) -> tokio::task::JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let serving = axum::serve(listener, router).into_future();
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a server of the runtime failed");
        }
    })
}

/// Takes the folder for this process.
fn lock_folder(folder: &Path) -> Result<File, RuntimeError> {
    let failed = |source| RuntimeError::Folder {
        folder: folder.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    folder_lock::take(folder)
        .map_err(failed)?
        .map_err(|pid| RuntimeError::AlreadyRunning { pid })
}

/// Listens on a Unix socket that only this user can open. The folder is ours, so a socket that is there is a leftover.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
