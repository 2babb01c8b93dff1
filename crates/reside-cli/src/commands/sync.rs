//! `reside sync`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jazz::storage::{Durability, StorageError};
use jazz_sync::{Server, ServerError, Settings};

use crate::cli::App;
use crate::cluster::signals;
use crate::error::CommandError;

/// Run a sync server alone
///
/// Keeps what clients write in one SQLite file, and relays it to other clients. It serves until it is stopped by
/// SIGINT or SIGTERM.
#[derive(Args, Debug)]
pub struct SyncArgs {
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4200")]
    listen: SocketAddr,

    /// SQLite file to keep everything in
    #[arg(long, value_name = "FILE", default_value = "jazz.db")]
    storage: PathBuf,

    /// What a confirmed write survives
    #[arg(long, value_enum, value_name = "EVENT", default_value_t)]
    durability: Survives,

    /// Connections at once
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::new(PathBuf::new()).connections_max)]
    connections: usize,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Survives {
    /// A loss of power
    #[default]
    PowerLoss,
    /// The end of the process, however it ends
    Crash,
}

/// Runs the command.
pub fn run(app: &App, args: SyncArgs) -> Result<(), CommandError> {
    let mut settings = Settings::new(args.storage.clone());
    settings.connections_max = args.connections;
    settings.durability = match args.durability {
        Survives::PowerLoss => Durability::PowerLoss,
        Survives::Crash => Durability::ProcessCrash,
    };
    app.block_on(async {
        let stop = signals::stop_requested()?;
        let server = Server::bind(args.listen, settings).await.map_err(explain)?;
        let address = server.address().map_err(ServerError::from).map_err(explain)?;
        app.ui.say(format_args!(
            "Listening on ws://{address}, storing in {}",
            args.storage.display()
        ));
        server.run(stop).await.map_err(explain)?;
        app.ui.say("Stopped");
        Ok(())
    })
}

/// Adds what to do.
pub fn explain(error: ServerError) -> CommandError {
    let what = error.to_string();
    match error {
        ServerError::Listen { source, .. } => CommandError::failed(what)
            .because(source)
            .help("choose another address with `--listen`"),
        ServerError::Storage { path, source } => {
            let help = storage_help(&path, &source);
            CommandError::failed(what)
                .because(source as std::sync::Arc<dyn std::error::Error + Send + Sync>)
                .help(help)
        }
        ServerError::Io(source) => CommandError::failed(what).because(source),
    }
}

fn storage_help(path: &Path, error: &StorageError) -> String {
    match error {
        StorageError::InUse(_) => "stop the other server, or choose another file with `--storage`".to_owned(),
        StorageError::TooNew { .. } => {
            "use the version of `reside` that made the file, or a newer one".to_owned()
        }
        _ => format!(
            "check that `{}` is a database of `reside sync` and that its disk is not full",
            path.display()
        ),
    }
}
