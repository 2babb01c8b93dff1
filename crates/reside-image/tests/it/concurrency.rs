//! Several writers at once, and writers that are killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use reside_image::{
    ImageError, Reference, Store, Tag,
    pack::{self, PROGRAM_PATH},
};

use crate::support::{GREETER, Home, identity, tag};

const CRASH_STORE: &str = "RESIDE_TEST_CRASH_STORE";

#[test]
fn concurrent_writers_lose_nothing() {
    let home = Home::new();
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let store = home.store.clone();
            thread::spawn(move || {
                let own = Home {
                    directory: tempfile::tempdir().unwrap(),
                    store,
                };
                (0..5)
                    .map(|turn| {
                        let name = tag(&format!("t{number}-{turn}"));
                        own.replica(
                            format!("{number} {turn}").as_bytes(),
                            &[name.clone(), Tag::latest()],
                        );
                        name
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for name in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
        let found = home
            .store
            .resolve(&Reference::tagged(identity(GREETER), name))
            .unwrap();
        home.store.image(&found.digest).unwrap();
    }
    assert_eq!(home.store.list().unwrap().len(), 21);
    assert_eq!(fs::read_dir(home.store.path().join(".tmp")).unwrap().count(), 0);
}

#[test]
fn a_store_is_opened_by_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/images");
    let openers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || Store::open(&path).unwrap().list().unwrap().len())
        })
        .collect();
    assert!(openers.into_iter().all(|opener| opener.join().unwrap() == 0));
}

/// Not a test of its own: the process that the next test kills.
#[test]
#[ignore = "runs as a child of `a_killed_writer_leaves_a_valid_store`"]
fn write_until_killed() {
    let store = Store::open(env::var_os(CRASH_STORE).unwrap()).unwrap();
    let home = Home {
        directory: tempfile::tempdir().unwrap(),
        store,
    };
    let mut output = std::io::stdout();
    for turn in 0.. {
        let image = home.replica(
            &vec![turn as u8; 200_000 + turn],
            &[Tag::latest(), tag(&format!("t{turn}"))],
        );
        writeln!(output, "\nwritten {turn} {}", image.digest).unwrap();
        output.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_a_valid_store() {
    let home = Home::new();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "concurrency::write_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CRASH_STORE, home.store.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let written = lines
            .by_ref()
            .map(Result::unwrap)
            .filter(|line| line.starts_with("written "));
        acknowledged.extend(written.take(round + 1));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(home.store.path()).unwrap();
        for listed in store.list().unwrap() {
            assert_eq!(listed.problem, None);
        }
        for line in &acknowledged {
            let (_, digest) = line.rsplit_once(' ').unwrap();
            let reference: Reference = format!("{GREETER}@{digest}").parse().unwrap();
            store.image(&store.resolve(&reference).unwrap().digest).unwrap();
        }
    }
    home.replica(b"after", &[Tag::latest()]);
    assert_eq!(
        fs::read_dir(home.store.path().join(".tmp")).unwrap().count(),
        0,
        "stale files are cleaned away"
    );
}

/// Not a test of its own: the process of the next test, which may write only small files.
#[test]
#[ignore = "runs as a child of `a_failed_write_changes_nothing`"]
fn write_too_much() {
    let home = Home {
        directory: tempfile::tempdir().unwrap(),
        store: Store::open(env::var_os(CRASH_STORE).unwrap()).unwrap(),
    };
    let writer = home.store.writer().unwrap();
    let error = pack::write_program_layer(&writer, Path::new("/proc/self/exe"), PROGRAM_PATH).unwrap_err();
    assert!(
        matches!(&error, ImageError::Io { path, .. } if path == home.store.path()),
        "{error}"
    );
    home.contract(&[Tag::latest()]); // what fits is still written
}

#[test]
fn a_failed_write_changes_nothing() {
    let home = Home::new();
    let image = home.replica(b"program", &[Tag::latest()]);
    // A limit on the size of files is the full disk that every machine has.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "concurrency::write_too_much", "--ignored"])
        .env(CRASH_STORE, home.store.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        home.store.resolve(&identity(GREETER).into()).unwrap().digest,
        image.digest
    );
    assert_eq!(home.store.list().unwrap().len(), 2);
    assert_eq!(fs::read_dir(home.store.path().join(".tmp")).unwrap().count(), 0);
}
