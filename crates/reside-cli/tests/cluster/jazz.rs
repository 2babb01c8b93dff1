//! `reside jazz` against `reside sync`, without a cluster.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Home, PATIENCE, Said};

const NOBODY: &str = "co_zABCDEFGHJKLMNPQRSTUVWX";

/// A sync server, and the accounts `ada`, who acts unless another one is named, and `bob`.
struct Jazz {
    home: Home,
    url: String,
    server: Child,
}

impl Drop for Jazz {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Jazz {
    fn start() -> Self {
        let home = Home::empty();
        let storage = home.path().join("jazz.db");
        let listen = ["sync", "--listen", "127.0.0.1:0", "--storage"];
        let mut command = home.command(&[&listen[..], &[storage.to_str().unwrap()]].concat());
        let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(server.stderr.take().unwrap());
        said.read_line(&mut line).unwrap();
        let url = line
            .strip_prefix("Listening on ")
            .and_then(|rest| rest.split(',').next());
        let url = url
            .unwrap_or_else(|| panic!("the server says {line:?}"))
            .to_owned();
        let jazz = Self { home, url, server };
        for name in ["ada", "bob"] {
            jazz.ok(&["account", "create", name]);
        }
        jazz
    }

    fn arguments<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["jazz", "--server", &self.url], words].concat()
    }

    fn run(&self, words: &[&str]) -> Said {
        self.home.run(&self.arguments(words))
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.run(words).expect_ok().out.trim_end().to_owned()
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[words, &["--output", "json"]].concat())).unwrap()
    }

    #[track_caller]
    fn get(&self, id: &str) -> Value {
        self.json(&["get", id])
    }

    /// Runs a command that must fail with this code and say this.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str], reason: &str) {
        let said = self.run(words);
        assert_eq!(said.code, Some(code), "{words:?}: {said:?}");
        assert_eq!(said.out, "", "{words:?}");
        // Long ids make lines wrap anywhere.
        let text = said.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(reason), "{words:?}: {}", said.err);
    }

    /// The id of an own account.
    fn account(&self, name: &str) -> String {
        let me = self.json(&["whoami", "--account", name]);
        me["accountId"].as_str().unwrap().to_owned()
    }

    fn watch(&self, id: &str) -> Watching {
        let mut command = self.home.command(&self.arguments(&["watch", id]));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Watching {
            process,
            lines: receiver,
        }
    }
}

/// A running `watch`.
struct Watching {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    #[track_caller]
    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }
}

#[test]
fn values_are_made_changed_and_read() {
    let jazz = Jazz::start();

    let map = jazz.ok(&["create", "map", r#"{"title":"Notes","count":-1}"#]);
    let watching = jazz.watch(&map);
    assert_eq!(
        watching.next(),
        json!({"$jazz": {"id": map}, "title": "Notes", "count": -1})
    );
    jazz.ok(&["set", &map, "count", "-2"]);
    assert_eq!(watching.next()["count"], -2);
    assert_eq!(watching.stop(), Some(0));

    let list = jazz.json(&["create", "list", r#"["a"]"#]);
    let (list, group) = (list["id"].as_str().unwrap(), list["group"].as_str().unwrap());
    jazz.ok(&["push", list, r#"{"b":1}"#]);
    jazz.ok(&["set", list, "0", r#""c""#]);
    assert_eq!(jazz.get(list), json!(["c", {"b": 1}]));

    jazz.ok(&["set", &map, "list", &json!(list).to_string()]);
    assert_eq!(jazz.get(&map)["list"], list);
    let deep = jazz.json(&["get", &map, "--depth", "1"]);
    assert_eq!(deep["list"], json!(["c", {"b": 1}]));

    let history = jazz.json(&["get", &map, "--history"]);
    let ada = jazz.account("ada");
    let of_count = |change: &&Value| change["key"] == "count" && change["by"] == ada;
    let counts = history.as_array().unwrap().iter().filter(of_count);
    let counts: Vec<&Value> = counts.map(|change| &change["value"]).collect();
    assert_eq!(counts, [-1, -2]);
    let history = jazz.json(&["get", list, "--history"]);
    let actions = history.as_array().unwrap().iter().map(|change| &change["action"]);
    let actions: Vec<&Value> = actions.collect();
    assert_eq!(actions, ["insert", "insert", "insert", "remove"]);

    let feed = jazz.ok(&["create", "feed", "[1]", "--group", group]);
    jazz.ok(&["push", &feed, "2"]);
    jazz.ok(&["append", &feed, "3"]);
    let last_items = jazz.get(&feed)["in"].clone();
    let last_items = last_items.as_object().unwrap().values();
    let last_items: BTreeSet<u64> = last_items.map(|item| item.as_u64().unwrap()).collect();
    assert_eq!(
        last_items,
        [1, 2, 3].into(),
        "each command is a session of its own"
    );

    let text = jazz.ok(&["create", "text", "Hello", "--group", group]);
    jazz.ok(&["append", &text, ", world"]);
    assert_eq!(jazz.get(&text), "Hello, world");
    let shown = jazz.ok(&["get", &text]);
    assert!(shown.contains("Hello, world") && shown.contains(group), "{shown}");

    jazz.ok(&["delete", &text, "--yes"]);
    jazz.fails(1, &["get", &text], "was deleted");
}

#[test]
fn files_come_back_as_they_were() {
    let jazz = Jazz::start();
    let (source, target) = (jazz.home.path().join("a.bin"), jazz.home.path().join("b.bin"));
    let (from, to) = (source.to_str().unwrap(), target.to_str().unwrap());
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&source, &bytes).unwrap();

    let file = jazz.ok(&["upload", from, "--type", "image/png"]);
    assert_eq!(
        jazz.get(&file),
        json!({
            "$jazz": {"id": file}, "mimeType": "image/png", "fileName": "a.bin",
            "totalSizeBytes": bytes.len(), "finished": true,
        })
    );
    jazz.ok(&["download", &file, to]);
    assert!(fs::read(&target).unwrap() == bytes);

    let empty = jazz.ok(&["create", "file", "--name", "later.txt"]);
    assert_eq!(jazz.get(&empty), json!({"$jazz": {"id": empty}}));
    fs::write(&source, "now").unwrap();
    jazz.ok(&["upload", from, "--into", &empty]);
    jazz.ok(&["download", &empty, to]);
    assert_eq!(fs::read(&target).unwrap(), b"now");
    jazz.fails(1, &["upload", from, "--into", &empty], "is complete already");
}

#[test]
fn groups_decide_who_reads_and_writes() {
    let jazz = Jazz::start();
    let (ada, bob) = (jazz.account("ada"), jazz.account("bob"));
    let group = jazz.ok(&["create", "group"]);
    let map = jazz.ok(&["create", "map", r#"{"a":1}"#, "--group", &group]);
    let by_bob = |words: &[&str]| jazz.ok(&[words, &["--account", "bob"]].concat());
    let bob_fails = |words: &[&str], reason| jazz.fails(1, &[words, &["--account", "bob"]].concat(), reason);

    bob_fails(&["get", &map], "`bob` may not read");
    jazz.ok(&["group", "add", &group, &bob, "reader"]);
    by_bob(&["get", &map]);
    bob_fails(&["set", &map, "a", "2"], "it is reader in the group");
    assert_eq!(
        jazz.json(&["group", "members", &group]),
        json!({
            "members": members(&[(&ada, "admin"), (&bob, "reader")]),
            "everyone": null,
            "parents": [],
        })
    );
    jazz.ok(&["group", "remove", &group, &bob]);
    jazz.ok(&["set", &map, "a", "2"]);
    bob_fails(&["set", &map, "a", "3"], "no role in the group");

    let invite = jazz.json(&["group", "invite", &group, "writer"]);
    by_bob(&["group", "accept", &group, invite["secret"].as_str().unwrap()]);
    by_bob(&["set", &map, "a", "4"]);
    assert_eq!(jazz.get(&map)["a"], 4);
    bob_fails(&["group", "add", &group, "everyone", "reader"], "may not do this");
    bob_fails(&["delete", &map, "--yes"], "it is writer in the group");

    let child = jazz.ok(&["create", "group"]);
    let text = jazz.ok(&["create", "text", "for all", "--group", &child]);
    jazz.ok(&["group", "extend", &child, &group, "--role", "reader"]);
    assert_eq!(
        jazz.json(&["group", "members", &child])["parents"],
        json!([group])
    );
    let shown = jazz.ok(&["get", &child]);
    assert!(shown.contains("admin") && !shown.contains("empty"), "{shown}");
    by_bob(&["get", &text]);
    bob_fails(&["append", &text, "!"], "it is reader in the group");

    let public = jazz.json(&["create", "text", "for all"]);
    let (text, group) = (public["id"].as_str().unwrap(), public["group"].as_str().unwrap());
    jazz.ok(&["group", "add", group, "everyone", "writer"]);
    by_bob(&["append", text, "!"]);
    assert_eq!(jazz.get(text), "for all!");
    jazz.ok(&["group", "remove", group, "everyone"]);
    bob_fails(&["get", text], "`bob` may not read");
    jazz.fails(1, &["group", "remove", group, "everyone"], "is not a member");
}

/// Members as they are shown: sorted by account.
fn members(roles: &[(&str, &str)]) -> Value {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    let row = |(account, role)| json!({"account": account, "role": role});
    roles.into_iter().map(row).collect()
}

#[test]
fn what_cannot_be_is_refused() {
    let jazz = Jazz::start();
    let map = jazz.ok(&["create", "map"]);
    let list = jazz.ok(&["create", "list"]);
    let group = jazz.ok(&["create", "group"]);
    let folder = jazz.home.path().to_str().unwrap();

    let usage: &[(&[&str], &str)] = &[
        (&["get", "co_x"], "invalid value 'co_x'"),
        (&["set", &map, "a", "{nothing"], "is not valid JSON"),
        (&["create", "map", "[]"], "are not a JSON object"),
        (&["create", "list", "{}"], "are not a JSON array"),
        (&["set", &list, "first", "1"], "is not a position"),
        (&["group", "add", &group, "bob", "reader"], "invalid value 'bob'"),
        (
            &["group", "add", &group, "everyone", "owner"],
            "invalid value 'owner'",
        ),
        (&["group", "accept", &group, "secret"], "invalid value"),
        (&["delete", &map], "cannot ask"),
        (&["get", &map, "--history", "--depth", "1"], "cannot be used with"),
        (&["get", &map, "--depth", "101"], "101 is not in"),
        (&["whoami", "--server", "http://localhost"], "invalid value"),
        (
            &["whoami", "--account", "ada", "--as", "bob"],
            "cannot be used with",
        ),
    ];
    for (words, reason) in usage {
        jazz.fails(2, words, reason);
    }

    let secret = "inviteSecret_z11111111111111111111111111111111";
    let failed: &[(&[&str], &str)] = &[
        (&["get", NOBODY], "was not found"),
        (&["push", &map, "1"], "it is a map"),
        (&["append", &list, "1"], "it is a list"),
        (&["get", &group, "--history"], "it is a group"),
        (&["set", &group, "a", "1"], "it is a group"),
        (&["download", &map, "x"], "it is a map"),
        (&["upload", "/nothing/there"], "cannot read `/nothing/there`"),
        (&["upload", folder], "is not a file"),
        (&["set", &list, "0", "1"], "position 0 of a list of 0 items"),
        (&["create", "map", "--group", &map], "is not a group"),
        (&["group", "members", &map], "is not a group"),
        (&["group", "add", &group, NOBODY, "reader"], "was not found"),
        (
            &["group", "add", &group, "everyone", "admin"],
            "everybody can't be admin",
        ),
        (&["group", "extend", &group, &group], "can't be a parent here"),
        (&["group", "accept", &group, secret], "knows no such invite"),
        (&["delete", &group, "--yes"], "it is a group"),
        (&["account", "create", "ada"], "there is an account `ada` already"),
        (&["whoami", "--account", "eve"], "there is no account `eve`"),
        (&["whoami", "--server", "ws://127.0.0.1:1"], "does not answer"),
    ];
    for (words, reason) in failed {
        jazz.fails(1, words, reason);
    }
    assert_eq!(jazz.get(&map), json!({"$jazz": {"id": map}}));
    let said = jazz.home.run(&["jazz", "whoami"]);
    assert!(said.err.contains("--server URL"), "{}", said.err);
}
