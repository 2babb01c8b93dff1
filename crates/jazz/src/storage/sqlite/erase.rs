//! Erasing the content of deleted values, a little at a time, so that nobody waits for it. A kill in between loses nothing:
//! what is to be erased is noted first, and isn't read from then on.

use cojson::ids::CoId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStorage, failed};
use crate::storage::StorageError;

/// How many transactions are erased at once.
const ROWS_AT_ONCE: usize = 500;

/// Everything of a value but its header and the sessions that delete it (protocol, 7.7).
const DEAD_SESSIONS: &str = "INSERT INTO erasing
    SELECT sessions.row FROM sessions JOIN covalues ON covalues.row = sessions.covalue
    WHERE covalues.id = ?1 AND sessions.session NOT LIKE '%$'
    ON CONFLICT DO NOTHING";

impl SqliteStorage {
    /// Notes that the content of a deleted value is to be erased; tells whether it has any.
    pub(super) fn start_erasing(&mut self, id: &CoId) -> Result<bool, StorageError> {
        let noted = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let sessions = transaction
                .prepare_cached(DEAD_SESSIONS)?
                .execute([id.as_str()])?;
            transaction.execute("DELETE FROM deletions WHERE id = ?1", [id.as_str()])?;
            transaction.commit()?;
            Ok(sessions > 0)
        };
        noted(&mut self.connection).map_err(failed("noting what is to be erased"))
    }

    /// Erases a part of what is to be erased; tells whether there is more.
    pub(super) fn erase_rows(&mut self) -> Result<bool, StorageError> {
        erase(&mut self.connection).map_err(failed("erasing"))
    }
}

fn erase(connection: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let session: Option<i64> = transaction
        .prepare_cached("SELECT session FROM erasing LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(session) = session else {
        return Ok(false);
    };
    let erased = transaction
        .prepare_cached(
            "DELETE FROM transactions WHERE session = ?1
             AND idx IN (SELECT idx FROM transactions WHERE session = ?1 LIMIT ?2)",
        )?
        .execute(params![session, ROWS_AT_ONCE as i64])?;
    if erased < ROWS_AT_ONCE {
        for last in [
            "DELETE FROM checkpoints WHERE session = ?1",
            "DELETE FROM erasing WHERE session = ?1",
            "DELETE FROM sessions WHERE row = ?1",
        ] {
            transaction.prepare_cached(last)?.execute([session])?;
        }
    }
    transaction.commit()?;
    Ok(true)
}
