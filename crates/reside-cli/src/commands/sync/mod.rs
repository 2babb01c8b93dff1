//! `reside sync …`

mod backup;
mod compact;
mod serve;
mod size;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand};
use jazz::storage::StorageError;

use crate::cli::App;
use crate::error::CommandError;

/// Run a sync server alone, and look after its database
///
/// Keeps what clients write in one SQLite file, and relays it to other clients. It serves until it is stopped by
/// SIGINT or SIGTERM.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SyncArgs {
    #[command(subcommand)]
    command: Option<SyncCommand>,

    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum SyncCommand {
    Backup(backup::BackupArgs),
    Verify(verify::VerifyArgs),
    Compact(compact::CompactArgs),
}

/// Runs the command.
pub fn run(app: &App, SyncArgs { command, serve }: SyncArgs) -> Result<(), CommandError> {
    match command {
        None => serve::run(app, serve),
        Some(SyncCommand::Backup(args)) => backup::run(app, args),
        Some(SyncCommand::Verify(args)) => verify::run(app, args),
        Some(SyncCommand::Compact(args)) => compact::run(app, args),
    }
}

/// A command about a database failed.
fn storage_failed(what: String, path: &Path, error: StorageError) -> CommandError {
    let help = storage_help(path, &error);
    CommandError::failed(what).because(error).help(help)
}

fn storage_help(path: &Path, error: &StorageError) -> String {
    match error {
        StorageError::InUse(_) => "stop the server that uses it, or choose another file".to_owned(),
        StorageError::TooNew { .. } => {
            "use the version of `reside` that made the file, or a newer one".to_owned()
        }
        StorageError::Exists(_) => "choose another name; a backup never overwrites a file".to_owned(),
        StorageError::Damaged { .. } => {
            format!(
                "`reside sync verify --storage {}` says what else is damaged",
                path.display()
            )
        }
        _ => format!(
            "check that `{}` is a database of `reside sync` and that its disk is not full",
            path.display()
        ),
    }
}
