//! Storage in an SQLite file: write-ahead log, one database transaction per batch, a lock against a second writer.
//! Transactions are kept as columns, so that writing them needs no JSON. Others may read the file meanwhile: that is
//! how it is backed up and verified while a server runs.

mod backup;
mod compact;
mod erase;
mod notes;
mod verify;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cojson::header::Header;
use cojson::ids::{CoId, SessionId, Signature};
use cojson::limits::CHECKPOINT_BYTES;
use cojson::log::{CoValueLog, StoredSession};
use cojson::message::{Content, NewContent};
use cojson::sync::{Note, Recalled};
use cojson::transaction::{PrivateTransaction, Timestamp, Transaction, TrustingTransaction};
use cojson::values::fingerprint;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use super::{Storage, StorageError};

pub use backup::backup;
pub use compact::Compacted;
pub use verify::{Problem, VerifyReport, verify};

/// Version of the tables below.
const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE covalues (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, header TEXT NOT NULL);
    CREATE TABLE sessions (
        row INTEGER PRIMARY KEY, covalue INTEGER NOT NULL REFERENCES covalues(row), session TEXT NOT NULL,
        count INTEGER NOT NULL, signature TEXT NOT NULL, unchecked_bytes INTEGER NOT NULL,
        UNIQUE (covalue, session)
    );
    CREATE TABLE transactions (
        session INTEGER NOT NULL REFERENCES sessions(row), idx INTEGER NOT NULL,
        made_at INTEGER NOT NULL, key_used TEXT, changes TEXT NOT NULL, meta TEXT,
        PRIMARY KEY (session, idx)
    ) WITHOUT ROWID;
    CREATE TABLE checkpoints (
        session INTEGER NOT NULL REFERENCES sessions(row), idx INTEGER NOT NULL, signature TEXT NOT NULL,
        PRIMARY KEY (session, idx)
    ) WITHOUT ROWID;
";

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a loss of power: one `fsync` per batch.
    #[default]
    PowerLoss,
    /// When it survives the end of the process, however it ends.
    ProcessCrash,
}

/// How long the file may be locked by somebody who reads it, as a backup does at its beginning and end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log grows while somebody reads an old state of the file; this much of it is kept afterwards.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// An open database.
pub struct SqliteStorage {
    connection: Connection,
    path: PathBuf,
    /// Held for as long as the storage is open. SQLite's own locks can't be: they would keep readers out as well.
    _lock: File,
}

impl SqliteStorage {
    /// Opens the file or makes it.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, StorageError> {
        let lock = lock(path)?;
        let connection = Connection::open(path).map_err(failed("opening the file"))?;
        let mut storage = Self {
            connection,
            path: path.to_owned(),
            _lock: lock,
        };
        storage
            .prepare(durability)
            .map_err(|error| storage.explain(error))?;
        Ok(storage)
    }

    fn prepare(&mut self, durability: Durability) -> Result<(), StorageError> {
        let doing = "preparing the file";
        let connection = &mut self.connection;
        let synchronous = match durability {
            Durability::PowerLoss => "FULL",
            Durability::ProcessCrash => "NORMAL",
        };
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(doing))?;
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT))
            .and_then(|()| connection.pragma_update(None, "synchronous", synchronous))
            .map_err(failed(doing))?;
        connection.set_prepared_statement_cache_capacity(32);
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed(doing))?;
        let found = version(&transaction)?;
        if found == 0 {
            transaction
                .execute_batch(SCHEMA)
                .map_err(failed("making the tables"))?;
        }
        if found < SCHEMA_VERSION {
            notes::add_tables(&transaction)?;
            transaction
                .pragma_update(None, "user_version", SCHEMA_VERSION)
                .map_err(failed(doing))?;
        }
        transaction.commit().map_err(failed(doing))
    }

    /// Returns how many bytes the database takes, without what is still in its write-ahead log.
    pub fn size(&self) -> Result<u64, StorageError> {
        let pragma = |text| {
            let mut query = self.connection.prepare_cached(text)?;
            query.query_row([], |row| row.get::<_, i64>(0))
        };
        pragma("PRAGMA page_count")
            .and_then(|pages| Ok(pages.cast_unsigned() * pragma("PRAGMA page_size")?.cast_unsigned()))
            .map_err(failed("looking at its size"))
    }

    fn explain(&self, error: StorageError) -> StorageError {
        match &error {
            StorageError::Database { source, .. }
                if source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
            {
                StorageError::InUse(self.path.clone())
            }
            _ => error,
        }
    }
}

/// Locks the database against other writers by a file beside it. The end of the process, however it ends, unlocks it.
fn lock(path: &Path) -> Result<File, StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let unlockable = |source| StorageError::File {
        doing: "locking the database",
        path: PathBuf::from(&name),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(unlockable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(unlockable(source)),
    }
}

/// Opens an existing database beside whoever else uses it.
fn open_beside(path: &Path) -> Result<Connection, StorageError> {
    // Not read-only: where nobody else has the file open, SQLite makes and removes its write-ahead log.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("opening the file"))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(failed("opening the file"))?;
    match version(&connection)? {
        0 => Err(StorageError::NotOurs(path.to_owned())),
        _ => Ok(connection),
    }
}

/// Returns the version of the tables, 0 if there are none; fails if a newer program made them.
fn version(connection: &Connection) -> Result<i64, StorageError> {
    let found = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed("looking at its version"))?;
    if found > SCHEMA_VERSION {
        return Err(StorageError::TooNew {
            found,
            known: SCHEMA_VERSION,
        });
    }
    Ok(found)
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |source| StorageError::Database { doing, source }
}

impl Storage for SqliteStorage {
    fn append(&mut self, pieces: &[Content], notes: &[Note]) -> Result<(), StorageError> {
        let transaction = self
            .connection
            .transaction()
            .map_err(failed("starting to write"))?;
        for piece in pieces {
            append_piece(&transaction, piece)?;
        }
        for note in notes {
            notes::write(&transaction, note)?;
        }
        transaction.commit().map_err(failed("writing"))
    }

    fn load(&mut self, id: &CoId) -> Result<Option<CoValueLog>, StorageError> {
        let found: Option<(i64, String)> = self
            .connection
            .prepare_cached("SELECT row, header FROM covalues WHERE id = ?1")
            .and_then(|mut query| {
                query
                    .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(failed("reading a header"))?;
        let Some((row, header)) = found else {
            return Ok(None);
        };
        let header = serde_json::from_str(&header).map_err(|error| damaged(id, error))?;
        Ok(Some(CoValueLog::restore(
            header,
            load_sessions(&self.connection, id, row)?,
        )))
    }

    fn recall(&mut self) -> Result<Recalled, StorageError> {
        notes::read(&self.connection)
    }

    fn erase(&mut self, id: &CoId) -> Result<(), StorageError> {
        self.start_erasing(id).map(drop)
    }

    fn erase_some(&mut self) -> Result<bool, StorageError> {
        self.erase_rows()
    }
}

fn damaged(id: &CoId, problem: impl ToString) -> StorageError {
    StorageError::Damaged {
        id: id.clone(),
        problem: problem.to_string(),
    }
}

fn append_piece(connection: &Connection, piece: &Content) -> Result<(), StorageError> {
    if let Some(header) = &piece.header {
        connection
            .prepare_cached("INSERT INTO covalues (id, header) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .and_then(|mut insert| insert.execute(params![piece.id.as_str(), header.to_json().to_string()]))
            .map_err(failed("writing a header"))?;
    }
    let row: i64 = connection
        .prepare_cached("SELECT row FROM covalues WHERE id = ?1")
        .and_then(|mut query| query.query_row([piece.id.as_str()], |row| row.get(0)))
        .map_err(failed("looking up a value"))?;
    if piece.new.keys().any(SessionId::is_delete) {
        notes::write_deletion(connection, &piece.id)?;
    }
    for (session, new) in &piece.new {
        append_session(connection, &piece.id, row, session, new)?;
        if new.after < 2 && new.new_transactions.iter().any(is_in_clear) {
            note_beginning(connection, piece, row, session)?;
        }
    }
    Ok(())
}

fn is_in_clear(transaction: &Transaction) -> bool {
    matches!(transaction, Transaction::Trusting(_))
}

/// Notes how a session begins of which this piece brings one of the first two transactions.
fn note_beginning(
    connection: &Connection,
    piece: &Content,
    covalue: i64,
    session: &SessionId,
) -> Result<(), StorageError> {
    let doing = "noting how a session begins";
    let stored: Header;
    let header = match &piece.header {
        Some(header) => header,
        None => {
            let text: String = connection
                .prepare_cached("SELECT header FROM covalues WHERE row = ?1")
                .and_then(|mut query| query.query_row([covalue], |row| row.get(0)))
                .map_err(failed(doing))?;
            stored = serde_json::from_str(&text).map_err(|error| damaged(&piece.id, error))?;
            &stored
        }
    };
    let new = &piece.new[session];
    let begins = if new.after == 0 {
        fingerprint(header, session, &new.new_transactions)
    } else {
        let row = connection
            .prepare_cached("SELECT row FROM sessions WHERE covalue = ?1 AND session = ?2")
            .and_then(|mut query| query.query_row(params![covalue, session.as_str()], |row| row.get(0)))
            .map_err(failed(doing))?;
        fingerprint(
            header,
            session,
            &load_transactions(connection, &piece.id, row, 2)?,
        )
    };
    begins.map_or(Ok(()), |begins| notes::write_beginning(connection, begins))
}

fn append_session(
    connection: &Connection,
    id: &CoId,
    covalue: i64,
    session: &SessionId,
    new: &NewContent,
) -> Result<(), StorageError> {
    let known: Option<(i64, u64, usize)> = connection
        .prepare_cached(
            "SELECT row, count, unchecked_bytes FROM sessions WHERE covalue = ?1 AND session = ?2",
        )
        .and_then(|mut query| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get(0)?,
                    row.get::<_, i64>(1)? as u64,
                    row.get::<_, i64>(2)? as usize,
                ))
            };
            query
                .query_row(params![covalue, session.as_str()], read)
                .optional()
        })
        .map_err(failed("looking up a session"))?;
    let stored = known.map_or(0, |(_, count, _)| count);
    if new.after > stored {
        return Err(StorageError::Gap {
            id: id.clone(),
            after: new.after,
            stored,
        });
    }
    let fresh = new
        .new_transactions
        .get((stored - new.after) as usize..)
        .unwrap_or_default();
    if fresh.is_empty() {
        return Ok(());
    }
    let count = stored + fresh.len() as u64;
    let bytes = known.map_or(0, |(.., bytes)| bytes) + fresh.iter().map(Transaction::size).sum::<usize>();
    let is_checkpoint = bytes > CHECKPOINT_BYTES;
    let unchecked = if is_checkpoint { 0 } else { bytes };
    let signature = new.last_signature.as_str();
    let row = connection
        .prepare_cached(
            "INSERT INTO sessions (covalue, session, count, signature, unchecked_bytes) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (covalue, session) DO UPDATE SET count = ?3, signature = ?4, unchecked_bytes = ?5
             RETURNING row",
        )
        .and_then(|mut upsert| {
            let values = params![covalue, session.as_str(), count as i64, signature, unchecked as i64];
            upsert.query_row(values, |row| row.get::<_, i64>(0))
        })
        .map_err(failed("writing a session"))?;
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO transactions (session, idx, made_at, key_used, changes, meta) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .map_err(failed("writing transactions"))?;
    for (index, transaction) in (stored..).zip(fresh) {
        let (made_at, key, changes, meta) = match transaction {
            Transaction::Private(tx) => (
                tx.made_at,
                Some(tx.key_used.as_str()),
                &tx.encrypted_changes,
                &tx.meta,
            ),
            Transaction::Trusting(tx) => (tx.made_at, None, &tx.changes, &tx.meta),
        };
        insert
            .execute(params![
                row,
                index as i64,
                made_at.0 as i64,
                key,
                &**changes,
                meta.as_deref()
            ])
            .map_err(failed("writing a transaction"))?;
    }
    if is_checkpoint {
        connection
            .prepare_cached("INSERT INTO checkpoints (session, idx, signature) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute(params![row, count as i64 - 1, signature]))
            .map_err(failed("writing a checkpoint"))?;
    }
    Ok(())
}

fn load_sessions(
    connection: &Connection,
    id: &CoId,
    covalue: i64,
) -> Result<Vec<StoredSession>, StorageError> {
    let rows: Vec<(i64, String, String)> = connection
        .prepare_cached(
            "SELECT row, session, signature FROM sessions
             WHERE covalue = ?1 AND row NOT IN (SELECT session FROM erasing) ORDER BY row",
        )
        .and_then(|mut query| {
            query
                .query_map([covalue], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .map_err(failed("reading sessions"))?;
    rows.into_iter()
        .map(|(row, session, signature)| {
            let transactions = load_transactions(connection, id, row, i64::MAX)?;
            let checkpoints = load_checkpoints(connection, id, row)?;
            if checkpoints
                .last_key_value()
                .is_some_and(|(last, _)| *last >= transactions.len())
            {
                return Err(damaged(id, format!("{session} lacks signed transactions")));
            }
            Ok(StoredSession {
                session: session.parse().map_err(|error| damaged(id, error))?,
                signature: signature.parse().map_err(|error| damaged(id, error))?,
                transactions,
                checkpoints,
            })
        })
        .collect()
}

fn load_transactions(
    connection: &Connection,
    id: &CoId,
    session: i64,
    count_max: i64,
) -> Result<Vec<Transaction>, StorageError> {
    type Row = (i64, Option<String>, String, Option<String>);
    let rows: Vec<Row> = connection
        .prepare_cached(
            "SELECT made_at, key_used, changes, meta FROM transactions WHERE session = ?1 ORDER BY idx LIMIT ?2",
        )
        .and_then(|mut query| {
            query
                .query_map([session, count_max], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
        })
        .map_err(failed("reading transactions"))?;
    rows.into_iter()
        .map(|(made_at, key_used, changes, meta)| {
            let (made_at, changes, meta) = (Timestamp(made_at as u64), changes.into(), meta.map(Arc::from));
            Ok(match key_used {
                Some(key) => Transaction::Private(PrivateTransaction {
                    made_at,
                    key_used: key.parse().map_err(|error| damaged(id, error))?,
                    encrypted_changes: changes,
                    meta,
                }),
                None => Transaction::Trusting(TrustingTransaction {
                    made_at,
                    changes,
                    meta,
                }),
            })
        })
        .collect()
}

fn load_checkpoints(
    connection: &Connection,
    id: &CoId,
    session: i64,
) -> Result<BTreeMap<usize, Signature>, StorageError> {
    let rows: Vec<(i64, String)> = connection
        .prepare_cached("SELECT idx, signature FROM checkpoints WHERE session = ?1")
        .and_then(|mut query| {
            query
                .query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .map_err(failed("reading checkpoints"))?;
    rows.into_iter()
        .map(|(index, signature)| {
            Ok((
                index as usize,
                signature.parse().map_err(|error| damaged(id, error))?,
            ))
        })
        .collect()
}
