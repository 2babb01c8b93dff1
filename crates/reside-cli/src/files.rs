//! Private files: written whole or not at all, readable by their owner alone, changed by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::CommandError;

/// No file of ours is anywhere near this size.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a text file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<String>, CommandError> {
    let failed =
        |why: io::Error| CommandError::failed(format!("cannot read `{}`", path.display())).because(why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {} is not UTF-8", line + 1),
        ))
    })
}

/// Replaces a file: after a crash there is the old content or the new one, and it survives a loss of power.
pub fn replace(path: &Path, content: &str) -> Result<(), CommandError> {
    let failed =
        |why: io::Error| CommandError::failed(format!("cannot write `{}`", path.display())).because(why);
    // Somebody's link to a file elsewhere stays a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path
        .parent()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    create_folder(folder)?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

/// Makes a folder, and those above it, for the owner alone.
pub fn create_folder(path: &Path) -> Result<(), CommandError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|why| {
            CommandError::failed(format!("cannot make the folder `{}`", path.display())).because(why)
        })
}

/// Takes away what others may do with a file; tells whether that was something.
pub fn make_private(path: &Path) -> io::Result<bool> {
    let mode = fs::metadata(path)?.permissions().mode();
    let is_open = mode & 0o077 != 0;
    if is_open {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(is_open)
}

/// Held by one process at a time; let go when dropped, and when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    /// The lock lasts as long as the file is open.
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock of this file.
    pub fn acquire(path: &Path) -> Result<Self, CommandError> {
        let file = Self::open(path)?;
        file.lock().map_err(|why| Self::failed(path, why))?;
        Ok(Self { _file: file })
    }

    fn open(path: &Path) -> Result<File, CommandError> {
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(path).map_err(|why| Self::failed(path, why))
    }

    fn failed(path: &Path, why: io::Error) -> CommandError {
        CommandError::failed(format!("cannot lock `{}`", path.display())).because(why)
    }
}
