//! `reside sync compact`

use std::path::PathBuf;

use clap::Args;
use jazz::storage::{Compacted, Durability, SqliteStorage};
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, View, size_text};

/// Erase what was deleted and make the database smaller
///
/// The content of values that an admin of their group deleted goes; that they were deleted stays known. The server
/// must be stopped, and the disk needs as much free space as the database takes.
#[derive(Args, Debug)]
pub struct CompactArgs {
    /// The server's SQLite file
    #[arg(long, value_name = "FILE", default_value = "jazz.db")]
    storage: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    erased_values: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl View for Report {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        fields.field("Values erased", self.erased_values.to_string());
        fields.field("Size before", size_text(self.bytes_before));
        fields.field("Size after", size_text(self.bytes_after));
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, CompactArgs { storage }: CompactArgs) -> Result<(), CommandError> {
    let failed =
        |error| super::storage_failed(format!("cannot compact {}", storage.display()), &storage, error);
    if !storage.exists() {
        return Err(
            CommandError::failed(format!("there is no file {}", storage.display()))
                .help("name the server's file with `--storage`"),
        );
    }
    let progress = app.ui.progress(format_args!("Compacting {}", storage.display()));
    let Compacted {
        erased,
        bytes_before,
        bytes_after,
    } = SqliteStorage::open(&storage, Durability::PowerLoss)
        .and_then(|mut storage| storage.compact())
        .map_err(failed)?;
    drop(progress);
    app.ui.show(&Report {
        erased_values: erased,
        bytes_before,
        bytes_after,
    })
}
