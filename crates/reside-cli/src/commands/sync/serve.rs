//! `reside sync` itself: the server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jazz::storage::Durability;
use jazz_sync::{Certificate, Limits, Server, ServerError, Settings, TlsFiles};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::size::Size;
use crate::cli::App;
use crate::cluster::signals;
use crate::error::CommandError;
use crate::ui::Ui;

/// Files and sockets besides those of clients.
const OTHER_FILES: u64 = 512;

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4200")]
    listen: SocketAddr,

    /// SQLite file to keep everything in
    #[arg(long, value_name = "FILE", default_value = "jazz.db")]
    storage: PathBuf,

    /// What a confirmed write survives
    #[arg(long, value_enum, value_name = "EVENT", default_value_t)]
    durability: Survives,

    /// PEM file with the certificate and those it is signed with, for TLS; read again on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// PEM file with the key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at once [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    connections: Option<usize>,

    /// Connections at once from one address; behind a proxy, all come from the proxy's [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    connections_per_address: Option<usize>,

    /// Longest frame a client may send [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    frame: Option<Size>,

    /// What may wait for one client that does not read, before it is disconnected [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    queue: Option<Size>,

    /// What may wait for all clients together [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    queue_total: Option<Size>,

    /// Size of the database from which nothing new is taken [default: no limit]
    #[arg(long, value_name = "SIZE")]
    storage_max: Option<Size>,

    /// Memory for values, of which those not used for the longest time leave it first [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    cache: Option<Size>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Survives {
    /// A loss of power
    #[default]
    PowerLoss,
    /// The end of the process, however it ends
    Crash,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let default = Self::default();
        Self {
            connections_max: args.connections.unwrap_or(default.connections_max),
            connections_per_address_max: args.connections_per_address,
            frame_bytes_max: args.frame.map_or(default.frame_bytes_max, Size::bytes),
            queue_bytes_max: args.queue.map_or(default.queue_bytes_max, Size::bytes),
            queue_bytes_total_max: args
                .queue_total
                .map_or(default.queue_bytes_total_max, Size::bytes),
            storage_bytes_max: args.storage_max.map(|size| size.0),
            cache_bytes_max: args.cache.map_or(default.cache_bytes_max, Size::bytes),
        }
    }
}

/// Runs the command.
pub fn run(app: &App, args: ServeArgs) -> Result<(), CommandError> {
    let mut settings = Settings::new(args.storage.clone());
    settings.durability = match args.durability {
        Survives::PowerLoss => Durability::PowerLoss,
        Survives::Crash => Durability::ProcessCrash,
    };
    settings.tls = args
        .tls_cert
        .zip(args.tls_key)
        .map(|(certificate, key)| TlsFiles { certificate, key });
    settings.limits = args.limits.into();
    raise_file_limit(&app.ui, settings.limits.connections_max);
    app.block_on(async {
        let stop = signals::stop_requested()?;
        let server = Server::bind(args.listen, settings).await.map_err(explain)?;
        let address = server.address().map_err(ServerError::from).map_err(explain)?;
        let scheme = match server.certificate() {
            Some(certificate) => {
                reload_on_hangup(app.ui, certificate)?;
                "wss"
            }
            None => "ws",
        };
        app.ui.say(format_args!(
            "Listening on {scheme}://{address}, storing in {}",
            args.storage.display()
        ));
        server.run(stop).await.map_err(explain)?;
        app.ui.say("Stopped");
        Ok(())
    })
}

/// Every client is a file to the operating system, which allows few unless it is asked.
fn raise_file_limit(ui: &Ui, connections: usize) {
    let needed = (connections as u64).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit {
        current: Some(current),
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() || current < needed {
        ui.warn(format_args!(
            "{connections} connections need {needed} open files, of which this process may have {current} at most; \
             raise the limit (`ulimit -n`, `LimitNOFILE=`)"
        ));
    }
}

fn reload_on_hangup(ui: Ui, certificate: Certificate) -> Result<(), CommandError> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|why| CommandError::failed("cannot listen to signals").because(why))?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match certificate.reload() {
                Ok(()) => ui.say("Read the certificate again"),
                Err(error) => {
                    let why = CommandError::failed("cannot read the certificate again; the old one stays")
                        .because(error);
                    ui.report(&why);
                }
            }
        }
    });
    Ok(())
}

/// Adds what to do.
fn explain(error: ServerError) -> CommandError {
    let what = error.to_string();
    match error {
        ServerError::Listen { source, .. } => CommandError::failed(what)
            .because(source)
            .help("choose another address with `--listen`"),
        ServerError::Storage { path, source } => {
            let help = super::storage_help(&path, &source);
            CommandError::failed(what)
                .because(source as std::sync::Arc<dyn std::error::Error + Send + Sync>)
                .help(help)
        }
        ServerError::Tls(source) => CommandError::failed(what)
            .because(source)
            .help("give `--tls-cert` and `--tls-key` PEM files that belong together"),
        ServerError::Io(source) => CommandError::failed(what).because(source),
    }
}
