//! Who uses a runtime's folder: the process that holds the lock of a file in it. The kernel lets go of the lock when the
//! process ends, however that happens, so the lock tells the truth where a socket or a process number would not.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Wait before somebody who just takes or looks at the lock is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How often to look for the number of a process that has taken the lock and is about to write it.
const LOOKS_MAX: u32 = 1000;

/// Tells which process runs a runtime in this folder, if one does.
pub fn process_of(folder: &Path) -> io::Result<Option<u32>> {
    let file = match File::open(path(folder)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for _ in 0..LOOKS_MAX {
        if is_free(&file)? {
            return Ok(None);
        }
        if let Ok(pid) = fs::read_to_string(path(folder))?.trim().parse() {
            return Ok(Some(pid));
        }
        thread::sleep(LOOK_AGAIN);
    }
    Err(io::Error::other(format!(
        "{} is locked and names no process",
        path(folder).display()
    )))
}

/// Returns when no runtime runs in this folder. The kernel wakes us: nothing is polled.
pub async fn wait_until_free(folder: &Path) -> io::Result<()> {
    let path = path(folder);
    let waiting = tokio::task::spawn_blocking(move || File::open(path)?.lock_shared());
    waiting.await.map_err(io::Error::other)?
}

/// Takes the folder for as long as the file is open; `Err` of the process that has it already.
pub(crate) fn take(folder: &Path) -> io::Result<Result<File, u32>> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path(folder))?;
    while let Err(error) = file.try_lock() {
        match error {
            TryLockError::Error(error) => return Err(error),
            TryLockError::WouldBlock => match process_of(folder)? {
                Some(pid) => return Ok(Err(pid)),
                // Somebody only looks, as we just did.
                None => thread::sleep(LOOK_AGAIN),
            },
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

/// Whether nobody has the lock but such as look, as this does: they share it for a moment.
fn is_free(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lock_tells_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(process_of(folder).unwrap(), None);
        let file = take(folder).unwrap().unwrap();
        let me = std::process::id();
        assert_eq!(process_of(folder).unwrap(), Some(me));
        assert_eq!(take(folder).unwrap().unwrap_err(), me);
        let free = wait_until_free(folder);
        tokio::pin!(free);
        assert!(futures::poll!(&mut free).is_pending());
        drop(file);
        free.await.unwrap();
        assert_eq!(process_of(folder).unwrap(), None);
    }

    #[test]
    fn whoever_looks_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        drop(take(folder.path()).unwrap().unwrap());
        let is_over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    process_of(folder.path()).unwrap();
                }
            });
            let all_taken = (0..1000).all(|_| take(folder.path()).unwrap().is_ok());
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(all_taken);
        });
    }
}
