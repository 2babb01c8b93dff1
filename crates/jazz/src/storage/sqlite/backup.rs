//! A copy of the database while it is in use.

use std::fs::File;
use std::path::Path;

use tempfile::NamedTempFile;

use super::{failed, open_beside};
use crate::storage::StorageError;

/// Writes a copy of the database `from`, as it is at one moment, to the new file `to`, and returns its size once it is
/// durable. Whoever uses the database goes on meanwhile. The copy is there whole or not at all.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StorageError> {
    if to.exists() {
        return Err(StorageError::Exists(to.to_owned()));
    }
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let unwritable = |source| StorageError::File {
        doing: "writing the copy",
        path: to.to_owned(),
        source,
    };
    let connection = open_beside(from)?;
    let copy = NamedTempFile::new_in(folder).map_err(unwritable)?;
    let path = copy.path().to_str().ok_or_else(|| {
        let why = "the name of its folder is not UTF-8";
        unwritable(std::io::Error::new(std::io::ErrorKind::InvalidFilename, why))
    })?;
    // Reads one state of the database and waits for no writer, unlike SQLite's backup interface, which begins anew
    // whenever another process writes.
    connection
        .execute("VACUUM INTO ?1", [path])
        .map_err(failed("copying"))?;
    copy.as_file().sync_all().map_err(unwritable)?;
    let size = copy.as_file().metadata().map_err(unwritable)?.len();
    copy.persist_noclobber(to)
        .map_err(|error| unwritable(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(unwritable)?;
    Ok(size)
}
