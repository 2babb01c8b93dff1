//! Databases whose rows hold anything: reading is an error or gives a log that can be worked with.
//!
//! An input is lines, fields separated by `|`: `h|header`, `s|session|count|signature|unchecked bytes`,
//! `t|session row|index|made at|key|changes|meta`, `c|session row|index|signature`. An empty key or meta is none.

use std::cell::RefCell;
use std::path::PathBuf;

use cojson::Node;
use cojson::sync::{PeerId, PeerRole};
use jazz::storage::{Durability, SqliteStorage, Storage as _, verify};
use rusqlite::{Connection, params};

use crate::world::{NOW, World};

const LINES_MAX: usize = 100;

struct Database {
    _folder: tempfile::TempDir,
    path: PathBuf,
    storage: SqliteStorage,
    rows: Connection,
}

thread_local! {
    static DATABASE: RefCell<Database> = RefCell::new(Database::new());
}

impl Database {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("values.db");
        let storage = SqliteStorage::open(&path, Durability::ProcessCrash).expect("an empty database");
        let rows = Connection::open(&path).expect("the same database");
        // Rows of any kind, belonging to nothing if they like.
        for setting in ["synchronous", "foreign_keys"] {
            rows.pragma_update(None, setting, "OFF").expect("a setting");
        }
        Self {
            _folder: folder,
            path,
            storage,
            rows,
        }
    }

    fn fill(&mut self, text: &str, id: &str) -> rusqlite::Result<()> {
        let moment = self.rows.transaction()?;
        moment.execute_batch(
            "DELETE FROM covalues; DELETE FROM sessions; DELETE FROM transactions; DELETE FROM checkpoints;
             DELETE FROM erasing",
        )?;
        for line in text.lines().take(LINES_MAX) {
            let fields: Vec<&str> = line.split('|').collect();
            // A row that the tables themselves refuse isn't there.
            let _ = match fields[..] {
                ["h", header] => moment.execute(
                    "INSERT INTO covalues (row, id, header) VALUES (1, ?1, ?2)",
                    params![id, header],
                ),
                ["s", session, count, signature, unchecked] => moment.execute(
                    "INSERT INTO sessions (covalue, session, count, signature, unchecked_bytes)
                     VALUES (1, ?1, ?2, ?3, ?4)",
                    params![session, number(count), signature, number(unchecked)],
                ),
                ["t", session, index, made_at, key, changes, meta] => moment.execute(
                    "INSERT INTO transactions (session, idx, made_at, key_used, changes, meta)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        number(session),
                        number(index),
                        number(made_at),
                        some(key),
                        changes,
                        some(meta)
                    ],
                ),
                ["c", session, index, signature] => moment.execute(
                    "INSERT INTO checkpoints (session, idx, signature) VALUES (?1, ?2, ?3)",
                    params![number(session), number(index), signature],
                ),
                _ => Ok(0),
            };
        }
        moment.commit()
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A database.
pub fn storage(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let world = World::get();
    let map = world.log('m').expect("there is one");
    let text = world.fill_in(text);
    DATABASE.with_borrow_mut(|database| {
        database
            .fill(&text, map.id().as_str())
            .expect("rows can be written");
        let _ = verify(&database.path, &|_, _| {});
        if let Ok(Some(log)) = database.storage.load(map.id()) {
            work_with(log);
        }
    });
}

/// Serves it, reads it, and stores it elsewhere.
fn work_with(log: cojson::log::CoValueLog) {
    let world = World::get();
    let id = log.id().clone();
    let mut node = Node::new(true);
    for log in &world.others {
        node.values_mut().insert_log(log.clone());
    }
    node.peer_connected(PeerId(0), PeerRole::Client);
    node.peer_connected(PeerId(1), PeerRole::Server);
    node.request(&id);
    while node.poll_output().is_some() {}
    node.handle_loaded(NOW, &id, Some(log));
    while node.poll_output().is_some() {}
    let _ = (
        node.map(&id).is_ok(),
        node.list(&id).is_ok(),
        node.group(&id).is_ok(),
    );
    let _ = node.export(&id);
    let _ = node.forget(&id);
}
