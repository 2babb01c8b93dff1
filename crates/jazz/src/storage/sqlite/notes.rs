//! What is noted beside values: which ones servers lack something of, which ones somebody deleted, and how sessions begin.

use cojson::header::Header;
use cojson::ids::{CoId, SessionId};
use cojson::sync::{Note, Recalled};
use cojson::values::{Fingerprint, fingerprint};
use rusqlite::{Connection, params};

use super::{failed, load_transactions};
use crate::storage::StorageError;

/// Since version 2. Values are named by their ids, since a note may come before its value.
const TABLES: &str = "
    CREATE TABLE unsynced (id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE deletions (id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE beginnings (fingerprint INTEGER PRIMARY KEY);
    CREATE TABLE erasing (session INTEGER PRIMARY KEY REFERENCES sessions(row));
    INSERT INTO deletions
        SELECT id FROM covalues WHERE row IN (SELECT covalue FROM sessions WHERE session LIKE '%$')
            AND row IN (SELECT covalue FROM sessions WHERE session NOT LIKE '%$');
";

/// Adds the tables, with what older versions would have noted.
pub(super) fn add_tables(connection: &Connection) -> Result<(), StorageError> {
    connection
        .execute_batch(TABLES)
        .map_err(failed("making the tables"))?;
    let doing = "noting how sessions begin";
    let mut query = connection
        .prepare(
            "SELECT sessions.row, session, id, header FROM sessions JOIN covalues ON covalues.row = covalue
             WHERE EXISTS (SELECT 1 FROM transactions WHERE session = sessions.row AND idx = 0 AND key_used IS NULL)",
        )
        .map_err(failed(doing))?;
    let mut rows = query.query([]).map_err(failed(doing))?;
    while let Some(row) = rows.next().map_err(failed(doing))? {
        let read = || {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        };
        let (row, session, id, header) = read().map_err(failed(doing))?;
        // What is damaged is told of when it is read.
        let (Ok(session), Ok(id), Ok(header)) = (
            session.parse::<SessionId>(),
            id.parse::<CoId>(),
            serde_json::from_str::<Header>(&header),
        ) else {
            continue;
        };
        let first = load_transactions(connection, &id, row, 2).unwrap_or_default();
        if let Some(begins) = fingerprint(&header, &session, &first) {
            write_beginning(connection, begins)?;
        }
    }
    Ok(())
}

pub(super) fn write(connection: &Connection, note: &Note) -> Result<(), StorageError> {
    let (Note::Unsynced(id) | Note::Synced(id)) = note;
    let text = match note {
        Note::Unsynced(_) => "INSERT INTO unsynced VALUES (?1) ON CONFLICT DO NOTHING",
        Note::Synced(_) => "DELETE FROM unsynced WHERE id = ?1",
    };
    let written = connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.execute([id.as_str()]));
    written.map(drop).map_err(failed("writing a note"))
}

/// Notes that somebody says that a value is deleted.
pub(super) fn write_deletion(connection: &Connection, id: &CoId) -> Result<(), StorageError> {
    connection
        .prepare_cached("INSERT INTO deletions VALUES (?1) ON CONFLICT DO NOTHING")
        .and_then(|mut insert| insert.execute(params![id.as_str()]))
        .map(drop)
        .map_err(failed("noting a deletion"))
}

/// Notes how a session begins.
pub(super) fn write_beginning(connection: &Connection, begins: Fingerprint) -> Result<(), StorageError> {
    connection
        .prepare_cached("INSERT INTO beginnings VALUES (?1) ON CONFLICT DO NOTHING")
        .and_then(|mut insert| insert.execute([begins.cast_signed()]))
        .map(drop)
        .map_err(failed("noting how a session begins"))
}

pub(super) fn read(connection: &Connection) -> Result<Recalled, StorageError> {
    let ids = |table: &str| {
        let mut query = connection.prepare(&format!("SELECT id FROM {table} ORDER BY id"))?;
        let ids = query.query_map([], |row| row.get::<_, String>(0))?;
        ids.filter_map(|id| id.map(|id| id.parse().ok()).transpose())
            .collect::<rusqlite::Result<Vec<CoId>>>()
    };
    let beginnings = || {
        let mut query = connection.prepare("SELECT fingerprint FROM beginnings")?;
        let beginnings = query.query_map([], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()))?;
        beginnings.collect::<rusqlite::Result<_>>()
    };
    let read = || {
        Ok(Recalled {
            unsynced: ids("unsynced")?,
            deleted: ids("deletions")?,
            beginnings: beginnings()?,
        })
    };
    read().map_err(failed("reading notes"))
}
