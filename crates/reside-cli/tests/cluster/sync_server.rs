//! `reside sync` alone: the server as a process, and the commands that look after its database.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::Home;

/// A server on a port that it chose. Killed when it is dropped.
struct SyncServer {
    child: Child,
    address: String,
}

impl SyncServer {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let storage = home.path().join("jazz.db");
        let common = [
            "sync",
            "--listen",
            "127.0.0.1:0",
            "--storage",
            storage.to_str().unwrap(),
        ];
        let mut command = home.command(&[&common, arguments].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        let address = said.split_once("://").and_then(|(_, rest)| rest.split_once(','));
        let address = address.unwrap_or_else(|| panic!("it said {said:?}")).0.to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A client that is upgraded and then says nothing.
    fn idle_client(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        stream
    }

    /// The memory that the process takes.
    fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for SyncServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    let said = home.run(&[arguments, &["--output", "json"]].concat()).expect_ok();
    serde_json::from_str(&said.out).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_database_is_backed_up_verified_and_compacted() {
    let home = Home::empty();
    let (file, copy) = (home.path().join("jazz.db"), home.path().join("copy.db"));
    let server = SyncServer::start(&home, &[]);
    assert!(server.get("/readyz").ends_with("ready\n"));

    let made = json(
        &home,
        &["sync", "backup", "--storage", text(&file), "--to", text(&copy)],
    );
    assert_eq!(made["bytes"], copy.metadata().unwrap().len());
    let again = home.run(&["sync", "backup", "--storage", text(&file), "--to", text(&copy)]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("exists already"), "{}", again.err);

    let report = json(&home, &["sync", "verify", "--storage", text(&file)]);
    assert_eq!(report["problemCount"], 0);
    let refused = home.run(&["sync", "compact", "--storage", text(&file)]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("stop the server"), "{}", refused.err);
    server.stop();
    assert_eq!(
        json(&home, &["sync", "compact", "--storage", text(&file)])["erasedValues"],
        0
    );

    let absent = home.run(&["sync", "verify", "--storage", "absent.db"]);
    assert_eq!((absent.code, absent.out.as_str()), (Some(1), ""));
}

#[test]
fn a_damaged_database_is_reported_with_exit_code_1() {
    let home = Home::empty();
    let server = SyncServer::start(&home, &[]);
    server.stop();
    let file = home.path().join("jazz.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute("INSERT INTO covalues (id, header) VALUES ('co_z1', '{}')", [])
        .unwrap();
    drop(connection);
    let said = home.run(&["sync", "verify", "--storage", text(&file)]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("co_z1"), "{}", said.out);
    assert!(said.err.contains("is damaged in 1 places"), "{}", said.err);
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let home = Home::empty();
    for arguments in [
        &["sync", "--tls-cert", "certificate.pem"][..],
        &["sync", "--cache", "much"],
        &["sync", "--listen", "127.0.0.1:0", "backup", "--to", "copy.db"],
        &["sync", "backup"],
    ] {
        assert_eq!(home.run(arguments).code, Some(2), "{arguments:?}");
    }
}

/// What an idle connection costs is also what a hundred thousand connections cost. The bound is wide, since this is no
/// release build; it finds a buffer that somebody made large.
#[test]
fn an_idle_connection_takes_little_memory() {
    const CLIENTS: usize = 2_000;
    let home = Home::empty();
    let server = SyncServer::start(&home, &[]);
    let warm: Vec<TcpStream> = (0..50).map(|_| server.idle_client()).collect();
    let before = server.resident_bytes();
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| server.idle_client()).collect();
    let expected = format!("jazz_sync_connections {}\n", CLIENTS + warm.len());
    home.eventually("all are connected", || {
        server.get("/metrics").contains(&expected).then_some(())
    });
    let each = server.resident_bytes().saturating_sub(before) / CLIENTS;
    println!("{} bytes at first, {each} for each idle connection", before);
    assert!(each < 16 * 1024, "{each} bytes");
    drop(clients);
    let expected = format!("jazz_sync_connections {}\n", warm.len());
    home.eventually("all have left", || {
        server.get("/metrics").contains(&expected).then_some(())
    });
}
