//! The operating system's keyring, which may be absent, locked, or asleep: everything here ends in time.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keyring::Entry;
use zeroize::Zeroizing;

use crate::env;

const SERVICE: &str = "reside";
const ENTRY: &str = "identity";
/// A keyring that doesn't answer by then is none.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// A locked keyring asks the person for its password.
const UNLOCK_TIME: Duration = Duration::from_secs(120);

/// A keyring that answered.
#[derive(Clone, Copy, Debug)]
pub struct Keyring(());

impl Keyring {
    /// Connects to the keyring of this session, if there is one.
    pub fn open() -> Option<Self> {
        if !may_exist() {
            return None;
        }
        let is_connected = within(CONNECT_TIME, || Entry::store_status().is_ok());
        is_connected.unwrap_or(false).then_some(Self(()))
    }

    /// Reads the entry; `None` inside if there is none yet.
    pub fn read(self) -> Result<Option<Zeroizing<String>>, String> {
        let answer = within(UNLOCK_TIME, || match Entry::new(SERVICE, ENTRY)?.get_password() {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        });
        flatten(answer)
    }

    /// Writes the entry.
    pub fn write(self, text: Zeroizing<String>) -> Result<(), String> {
        flatten(within(UNLOCK_TIME, move || {
            Entry::new(SERVICE, ENTRY)?.set_password(&text)
        }))
    }
}

fn flatten<T>(answer: Option<keyring::Result<T>>) -> Result<T, String> {
    answer
        .ok_or("it did not answer in time")?
        .map_err(|error| error.to_string())
}

/// Without a session bus there is no keyring on Linux, and nothing to wait for.
fn may_exist() -> bool {
    let has_bus = || {
        let runtime = env::read("XDG_RUNTIME_DIR");
        env::read("DBUS_SESSION_BUS_ADDRESS").is_some()
            || runtime.is_some_and(|folder| Path::new(&folder).join("bus").exists())
    };
    cfg!(target_os = "macos") || has_bus()
}

/// Gives up waiting after a while. The thread is left behind and ends with the process.
fn within<T: Send + 'static>(time: Duration, run: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().name("keyring".to_owned()).spawn(move || {
        // Nobody listens any more if it came too late.
        let _ = sender.send(run());
    });
    spawned.ok()?;
    receiver.recv_timeout(time).ok()
}
