//! Where a node keeps what it has verified. Content read back is trusted: it was checked before it was stored.

mod memory;
mod sqlite;
mod writer;

use cojson::ids::CoId;
use cojson::log::CoValueLog;
use cojson::message::Content;
use cojson::sync::{Note, Recalled};

pub use memory::MemoryStorage;
pub use sqlite::{Compacted, Durability, Problem, SqliteStorage, VerifyReport, backup, verify};
pub(crate) use writer::{Command, StorageEvents, StorageThread};

/// A place to keep CoValues. Used by one thread.
pub trait Storage: Send + 'static {
    /// Appends the pieces, in their order, and notes what there is to note, in its order. Returns when both are durable: all
    /// of it or, with an error, nothing.
    fn append(&mut self, pieces: &[Content], notes: &[Note]) -> Result<(), StorageError>;

    /// Reads everything of one value.
    fn load(&mut self, id: &CoId) -> Result<Option<CoValueLog>, StorageError>;

    /// Returns what was noted, as far as it still holds, and the values that are to be looked at because somebody said that
    /// they are deleted.
    fn recall(&mut self) -> Result<Recalled, StorageError>;

    /// Has everything of a value but its header and its deletion erased: from now on it isn't read any more.
    fn erase(&mut self, id: &CoId) -> Result<(), StorageError>;

    /// Erases a part of what is to be erased; tells whether there is more.
    fn erase_some(&mut self) -> Result<bool, StorageError>;
}

/// Storage doesn't work. What was acknowledged before is not affected.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database can't be used, or can't be used any more.
    #[error("the database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process uses the database.
    #[error("another process uses the database {0}")]
    InUse(std::path::PathBuf),
    /// The file holds no CoValues.
    #[error("{0} is not a database of a node or a sync server")]
    NotOurs(std::path::PathBuf),
    /// There is a file that would be overwritten.
    #[error("{0} exists already")]
    Exists(std::path::PathBuf),
    /// A file can't be used.
    #[error("failed while {doing}: {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database was made by a newer version.
    #[error("the database has version {found}, this program knows versions up to {known}")]
    TooNew {
        /// The database's version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The database holds something that can't be read.
    #[error("the stored value {id} is damaged: {problem}")]
    Damaged {
        /// The value.
        id: CoId,
        /// What is wrong.
        problem: String,
    },
    /// A piece doesn't follow what is stored.
    #[error("a piece of {id} starts after {after} transactions, {stored} are stored")]
    Gap {
        /// The value.
        id: CoId,
        /// Where the piece starts.
        after: u64,
        /// How many transactions are stored.
        stored: u64,
    },
    /// Made to fail by a test.
    #[error("storage was told to fail")]
    Injected,
}
