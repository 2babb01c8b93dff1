//! A replica as a process: its command line, its environment, its signals, its HTTP server and its exit code.

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use axum::serve::ListenerExt as _;
use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    clock::Clock,
    config::Config,
    contract::{BoxError, Contract, RunResult},
    definition::ReplicaDefinition,
    locks::{LocalLocks, Locks, MemoryLocks},
    logging::init_logging,
    replica::Replica,
    rpc::HttpTransport,
    session::SyncServer,
    start::{Launch, Running},
};

/// How long answers on their way may take to leave once everything else has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Threads that run the replica; more would cost memory and gain little.
const THREADS_MAX: usize = 4;

/// The `main` of a replica: with the argument `manifest` it prints the replica's manifest, without arguments it runs
/// the replica ([`start_replica`]).
pub fn main<F, Fut>(definition: ReplicaDefinition, run: F) -> ExitCode
where
    F: FnOnce(Replica) -> Fut,
    Fut: Future<Output = RunResult> + Send + 'static,
{
    match arguments().as_deref() {
        Some([]) => {}
        Some([argument]) if argument == "manifest" => return print_manifest(definition.manifest()),
        _ => return usage("nothing, or `manifest` to print the replica's manifest"),
    }
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(start_replica(definition, run)),
        Err(error) => {
            complain(&format!("the runtime can't be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The `main` of a contract: prints the contract's manifest.
pub fn contract_main<C: Contract>() -> ExitCode {
    match arguments().as_deref() {
        Some([argument]) if argument == "manifest" => {
            let manifest = C::manifest();
            print_manifest(manifest.check().map(|()| manifest))
        }
        _ => usage("`manifest`, which prints the contract's manifest"),
    }
}

/// Runs a replica as the environment of the process says, until its own code ends or a signal comes.
///
/// - *Expected flow*: configuration (all problems named at once); log into the account; load the control block; connect
///   the requirements; prepare the data of the contracts; start the permission reconciliation; start the HTTP server if
///   any contract has methods or the replica is long-running, whose readiness is asked for; hand over to `run`.
/// - *Guarantees*: on SIGTERM or SIGINT, and when `run` ends, no new calls are taken (503), those under way are
///   finished, and the last writes are stored before the process ends. Each start writes under a session of its own.
/// - *Errors*: an error of `run` is logged and makes the exit code 1, as does anything that prevents the start, and
///   writes that can't be stored in the end.
pub async fn start_replica<F, Fut>(definition: ReplicaDefinition, run: F) -> ExitCode
where
    F: FnOnce(Replica) -> Fut,
    Fut: Future<Output = RunResult> + Send + 'static,
{
    let logging = init_logging();
    let result = async {
        let config = Config::from_env();
        let config = match (logging, config) {
            (Ok(()), config) => config?,
            (Err(problems), Ok(_)) => return Err(problems.into()),
            (Err(problems), Err(others)) => return Err(problems.and(others).into()),
        };
        let shutdown = CancellationToken::new();
        listen_to_signals(shutdown.clone())?;
        tokio::select! {
            biased;
            started = start(&definition, config, shutdown.clone()) => {
                let (running, http) = started?;
                let own = run(running.replica().clone());
                let ended = running.run(own).await;
                if let Some(http) = http {
                    http.close().await;
                }
                ended
            }
            () = shutdown.cancelled() => Ok(()),
        }
    };
    match result.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = &*error as &dyn Error, "the replica failed");
            ExitCode::FAILURE
        }
    }
}

async fn start(
    definition: &ReplicaDefinition,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(Running, Option<HttpServer>), BoxError> {
    let sync_server = SyncServer::from(config.sync_server_url);
    let node = sync_server.node().account(config.credentials).connect().await?;
    let locks = match config.lock_socket {
        Some(socket) => Locks::new(LocalLocks::new(socket)),
        None => {
            info!("there is no lock service: locks hold within this process alone");
            Locks::new(MemoryLocks::default())
        }
    };
    let launch = Launch {
        node,
        control_block: config.control_block,
        network: config.network,
        transport: Arc::new(HttpTransport::default()),
        clock: Clock::System,
        locks,
        sync_server,
        shutdown,
    };
    let listen = config.listen;
    let running = launch.start(definition).await?;
    let http = if running.listens() {
        Some(HttpServer::start(&running, listen).await?)
    } else {
        None
    };
    Ok((running, http))
}

/// The HTTP server of a replica.
struct HttpServer {
    closing: CancellationToken,
    task: JoinHandle<()>,
}

impl HttpServer {
    async fn start(running: &Running, listen: SocketAddr) -> Result<Self, BoxError> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| format!("can't listen on {listen}: {error}"))?;
        info!(address = %listener.local_addr()?, "the HTTP server listens");
        let closing = CancellationToken::new();
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let server =
            axum::serve(listener, running.router()).with_graceful_shutdown(closing.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = server.await {
                error!(%error, "the HTTP server failed");
            }
        });
        Ok(Self { closing, task })
    }

    /// Lets answers on their way leave, then closes.
    async fn close(self) {
        self.closing.cancel();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn listen_to_signals(shutdown: CancellationToken) -> Result<(), BoxError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}

/// Returns the arguments; nothing if one of them isn't text.
fn arguments() -> Option<Vec<String>> {
    std::env::args_os()
        .skip(1)
        .map(|argument| argument.into_string().ok())
        .collect()
}

fn print_manifest<E: Error + 'static>(manifest: Result<impl Serialize, E>) -> ExitCode {
    let json = manifest.map_err(|error| chain(&error)).and_then(|manifest| {
        serde_json::to_string_pretty(&manifest)
            .map_err(|error| format!("the manifest can't be written: {error}"))
    });
    match json {
        Ok(json) if writeln!(io::stdout(), "{json}").is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn usage(expected: &str) -> ExitCode {
    complain(&format!("wrong arguments; expected {expected}"));
    ExitCode::from(2)
}

fn complain(message: &str) {
    // There is nobody left to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "{message}");
}

/// Returns an error with everything that caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| Error::source(*error));
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
