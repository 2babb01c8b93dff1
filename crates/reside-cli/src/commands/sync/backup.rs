//! `reside sync backup`

use std::path::PathBuf;

use clap::Args;
use jazz::storage;
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, View, size_text};

/// Copy the database of a sync server, also while it runs
///
/// The copy is the database as it is at one moment, in one file. It appears under its name when it is complete.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The server's SQLite file
    #[arg(long, value_name = "FILE", default_value = "jazz.db")]
    storage: PathBuf,

    /// File to make
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Serialize)]
struct Backup {
    file: PathBuf,
    bytes: u64,
}

impl View for Backup {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("File", self.file.display().to_string());
        fields.field("Size", size_text(self.bytes));
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, BackupArgs { storage, to }: BackupArgs) -> Result<(), CommandError> {
    let progress = app.ui.progress(format_args!("Copying {}", storage.display()));
    let bytes = storage::backup(&storage, &to).map_err(|error| {
        super::storage_failed(format!("cannot back up {}", storage.display()), &storage, error)
    })?;
    drop(progress);
    app.ui.show(&Backup { file: to, bytes })
}
