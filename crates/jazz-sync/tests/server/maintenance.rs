//! Backup, verification and compaction, of a database that a server made.

use std::path::Path;

use cojson::ids::CoId;
use jazz::storage::{self, Durability, SqliteStorage, Storage as _, StorageError, VerifyReport};
use rusqlite::Connection;

use crate::support::{Running, SOON, count, create_public_map, set};

fn verify(file: &Path) -> VerifyReport {
    storage::verify(file, &|_, _| {}).unwrap()
}

/// Values of one client, confirmed by the server.
async fn fill(server: &Running, values: usize) -> Vec<CoId> {
    let client = server.client("Filler").await;
    let ids: Vec<CoId> = (0..values).map(|_| create_public_map(&client)).collect();
    // Long enough for several signatures.
    for number in 0..5 {
        set(&client, &ids[0], &format!("{number}"), "x".repeat(80_000));
    }
    client.wait_for_sync(SOON).await.unwrap();
    ids
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_sound_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("jazz.db"), folder.path().join("copy.db"));
    let server = Running::start(&file).await;
    let before = fill(&server, 20).await;
    let writer = server.client("Writer").await;
    let busy = create_public_map(&writer);
    let writing = tokio::spawn({
        let (writer, busy) = (writer.clone(), busy.clone());
        async move {
            for number in 2..200 {
                set(&writer, &busy, "count", number);
                tokio::task::yield_now().await;
            }
        }
    });
    let (from, to) = (file.clone(), copy.clone());
    tokio::task::spawn_blocking(move || storage::backup(&from, &to))
        .await
        .unwrap()
        .unwrap();
    writing.await.unwrap();
    writer.wait_for_sync(SOON).await.unwrap();
    let report = verify(&file);
    assert_eq!(report.problems, [], "while the server runs");
    assert!(report.values > 40 && report.transactions > 200, "{report:?}");
    server.stop().await;

    assert_eq!(verify(&copy).problems, []);
    let again = storage::backup(&file, &copy);
    assert!(matches!(again, Err(StorageError::Exists(_))), "{again:?}");
    let restored = Running::start(&copy).await;
    let reader = restored.client("Reader").await;
    for id in &before {
        reader.load(id, SOON).await.unwrap();
        assert_eq!(count(&reader, id), Some(1));
    }
    restored.stop().await;
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_neither_copied_nor_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.db");
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    let copy = folder.path().join("copy.db");
    assert!(matches!(
        storage::backup(&file, &copy),
        Err(StorageError::NotOurs(_))
    ));
    assert!(matches!(
        storage::verify(&file, &|_, _| {}),
        Err(StorageError::NotOurs(_))
    ));
    let absent = folder.path().join("absent.db");
    storage::backup(&absent, &copy).unwrap_err();
    assert!(!absent.exists() && !copy.exists(), "nothing is made");
}

#[tokio::test]
async fn verification_says_what_is_broken_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let ids = fill(&server, 6).await;
    server.stop().await;
    assert_eq!(verify(&file).problem_count, 0);

    let session = "(SELECT sessions.row FROM sessions JOIN covalues ON covalues.row = covalue WHERE id = ?1)";
    // For each damage: what is done to which value, and what is said of it.
    let damages = [
        (0, format!("UPDATE transactions SET changes = changes || 'A' WHERE idx = 2 AND session = {session}"), "signature"),
        (1, format!("DELETE FROM transactions WHERE idx = 0 AND session = {session}"), "were stored"),
        (2, "UPDATE covalues SET header = replace(header, 'comap', 'colist') WHERE id = ?1".to_owned(), "the header belongs to"),
        (3, format!("UPDATE transactions SET idx = 7 WHERE idx = 0 AND session = {session}"), "missing before"),
        (5, format!("INSERT INTO checkpoints SELECT row, 9, signature FROM sessions WHERE row IN {session}"), "lacks signed"),
        (4, "UPDATE sessions SET signature = 'nonsense' WHERE covalue = (SELECT row FROM covalues WHERE id = ?1)".to_owned(), ""),
    ];
    let connection = Connection::open(&file).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    for (value, damage, _) in &damages {
        assert_eq!(
            connection.execute(damage, [ids[*value].as_str()]).unwrap(),
            1,
            "{damage}"
        );
    }
    connection
        .execute(
            "INSERT INTO transactions VALUES (99999, 0, 0, NULL, '[]', NULL)",
            [],
        )
        .unwrap();
    drop(connection);

    let report = verify(&file);
    assert_eq!(report.problem_count, 7, "{:#?}", report.problems);
    for (value, _, said) in &damages {
        let found = report
            .problems
            .iter()
            .find(|problem| problem.id.as_deref() == Some(ids[*value].as_str()));
        let problem = &found
            .unwrap_or_else(|| panic!("value {value}: {:#?}", report.problems))
            .problem;
        assert!(problem.contains(said), "{problem}");
    }
    let lost = report
        .problems
        .iter()
        .find(|problem| problem.id.is_none())
        .unwrap();
    assert_eq!(lost.problem, "1 transactions belong to nothing");
}

#[tokio::test]
async fn an_author_that_is_missing_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    fill(&server, 1).await;
    server.stop().await;
    let connection = Connection::open(&file).unwrap();
    let account = "header LIKE '%\"account\"%'";
    connection
        .execute_batch(&format!(
            "DELETE FROM transactions WHERE session IN
               (SELECT row FROM sessions WHERE covalue IN (SELECT row FROM covalues WHERE {account}));
             DELETE FROM sessions WHERE covalue IN (SELECT row FROM covalues WHERE {account});
             DELETE FROM covalues WHERE {account};"
        ))
        .unwrap();
    drop(connection);
    let report = verify(&file);
    assert!(report.problem_count > 0);
    for problem in &report.problems {
        assert!(problem.problem.contains("is not in the database"), "{problem:?}");
    }
}

/// How many transactions of a value are in a database that may be in use.
fn transactions(file: &Path, id: &CoId) -> u64 {
    let connection = Connection::open(file).unwrap();
    let count = "SELECT COUNT(*) FROM transactions JOIN sessions ON sessions.row = transactions.session
        JOIN covalues ON covalues.row = covalue WHERE id = ?1";
    connection
        .query_row(count, [id.as_str()], |row| row.get::<_, i64>(0))
        .unwrap() as u64
}

/// Two maps with many transactions each; the first one is deleted.
async fn fill_and_delete(server: &Running) -> (CoId, CoId) {
    let client = server.client("Admin").await;
    let (deleted, kept) = (create_public_map(&client), create_public_map(&client));
    for id in [&deleted, &kept] {
        for number in 0..1_200 {
            set(&client, id, "count", number);
        }
    }
    client.wait_for_sync(SOON).await.unwrap();
    client.with(|node, cx| node.delete(cx, &deleted)).unwrap();
    client.wait_for_sync(SOON).await.unwrap();
    (deleted, kept)
}

async fn until_erased(server: &Running, file: &Path, id: &CoId) {
    let deadline = tokio::time::Instant::now() + SOON;
    while transactions(file, id) > 1 {
        assert!(tokio::time::Instant::now() < deadline, "it is never erased");
        server.get("/readyz").await;
    }
}

#[tokio::test]
async fn a_running_server_erases_what_an_admin_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let (deleted, kept) = fill_and_delete(&server).await;
    until_erased(&server, &file, &deleted).await;
    assert!(transactions(&file, &kept) > 1_200);
    assert_eq!(verify(&file).problems, []);
    let reader = server.client("Reader").await;
    reader.load(&deleted, SOON).await.unwrap();
    assert!(reader.with(|node, _| node.is_deleted(&deleted)));
    server.stop().await;

    // Also as it comes from storage, and with nothing more to do.
    let server = Running::start(&file).await;
    let reader = server.client("Reader").await;
    reader.load(&deleted, SOON).await.unwrap();
    assert!(reader.with(|node, _| node.is_deleted(&deleted)));
    assert_eq!(transactions(&file, &deleted), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_was_being_erased_when_a_server_was_killed_is_erased_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("jazz.db"), folder.path().join("copy.db"));
    let server = Running::start(&file).await;
    let (_, kept) = fill_and_delete(&server).await;
    server.stop().await;
    // The content of this one is there; that it was deleted is for the test to say.
    storage::backup(&file, &copy).unwrap();
    let mut storage = SqliteStorage::open(&copy, Durability::PowerLoss).unwrap();
    while storage.erase_some().unwrap() {}
    storage.erase(&kept).unwrap();
    let before = transactions(&copy, &kept);
    assert!(storage.erase_some().unwrap());
    assert!((1..before).contains(&transactions(&copy, &kept)), "one step");
    let log = storage.load(&kept).unwrap().unwrap();
    assert_eq!(log.sessions().len(), 0, "nobody sees the rest");
    drop(storage);
    assert_eq!(verify(&copy).problems, []);
    let server = Running::start(&copy).await;
    until_erased(&server, &copy, &kept).await;
    assert_eq!(transactions(&copy, &kept), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_database_of_the_first_version_gets_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let client = server.client("Admin").await;
    let (deleted, kept) = (create_public_map(&client), create_public_map(&client));
    let group = client.with(|node, _| node.log(&kept).unwrap().header().owner().unwrap().clone());
    client.wait_for_sync(SOON).await.unwrap();
    server.stop().await;
    // As if it had been deleted, and a group's log copied, while an older server ran.
    let mut storage = SqliteStorage::open(&file, Durability::PowerLoss).unwrap();
    let recalled = storage.recall().unwrap();
    client.with(|node, cx| node.delete(cx, &deleted)).unwrap();
    let pieces = client.with(|node, _| node.export(&deleted));
    storage.append(&pieces, &[]).unwrap();
    drop(storage);
    Connection::open(&file)
        .unwrap()
        .execute_batch(
            "DROP TABLE unsynced; DROP TABLE deletions; DROP TABLE beginnings; DROP TABLE erasing;
             PRAGMA user_version = 1",
        )
        .unwrap();

    let mut storage = SqliteStorage::open(&file, Durability::PowerLoss).unwrap();
    let anew = storage.recall().unwrap();
    assert_eq!(anew.beginnings, recalled.beginnings);
    assert_eq!(anew.deleted, std::slice::from_ref(&deleted));
    assert!(storage.load(&group).unwrap().is_some());
    drop(storage);
    let server = Running::start(&file).await;
    until_erased(&server, &file, &deleted).await;
    server.stop().await;
}

#[tokio::test]
async fn compaction_erases_what_an_admin_deleted_and_keeps_that_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jazz.db");
    let server = Running::start(&file).await;
    let client = server.client("Admin").await;
    let (deleted, kept) = (create_public_map(&client), create_public_map(&client));
    for id in [&deleted, &kept] {
        for number in 0..4 {
            set(&client, id, &format!("{number}"), "x".repeat(500_000));
        }
    }
    client.wait_for_sync(SOON).await.unwrap();
    let in_use = SqliteStorage::open(&file, Durability::PowerLoss).map(drop);
    assert!(matches!(in_use, Err(StorageError::InUse(_))), "{in_use:?}");
    server.stop().await;
    // A running server erases it by itself; this one stopped before.
    client.with(|node, cx| node.delete(cx, &deleted)).unwrap();
    let pieces = client.with(|node, _| node.export(&deleted));
    let mut storage = SqliteStorage::open(&file, Durability::PowerLoss).unwrap();
    storage.append(&pieces, &[]).unwrap();
    drop(storage);

    let mut storage = SqliteStorage::open(&file, Durability::PowerLoss).unwrap();
    let compacted = storage.compact().unwrap();
    assert_eq!(compacted.erased, 1);
    let less = compacted.bytes_before - compacted.bytes_after;
    assert!(less > 1_500_000, "{compacted:?}");
    assert_eq!(storage.compact().unwrap().erased, 0, "once is enough");
    drop(storage);
    assert_eq!(verify(&file).problems, []);

    let server = Running::start(&file).await;
    let reader = server.client("Reader").await;
    reader.load(&deleted, SOON).await.unwrap();
    assert!(reader.with(|node, _| node.is_deleted(&deleted)));
    reader.load(&kept, SOON).await.unwrap();
    assert_eq!(count(&reader, &kept), Some(1));
    server.stop().await;
}
