//! A folder with all state of one user, and the command `reside` in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{images, processes};

pub const GREETER: &str = "ghcr.io/exeteres/reside/replicas/greeter";
pub const VISITOR: &str = "ghcr.io/exeteres/reside/replicas/visitor";
pub const GREETER_V1: &str = "ghcr.io/exeteres/reside/contracts/greeter.v1";

/// The longest that anything here may take. A test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One user's state. Its clusters are stopped when it is dropped.
pub struct Home {
    folder: TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    /// An empty home, from which no test reaches a registry that isn't its own.
    pub fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let settings = r#"{"mirrors":{"ghcr.io":"127.0.0.1:1"}}"#;
        std::fs::write(folder.path().join("registries.json"), settings).unwrap();
        Self { folder }
    }

    /// A home with an account `admin` and the example images.
    pub fn with_images() -> Self {
        let home = Self::empty();
        images::copy_examples(&home.images());
        home.ok("account create admin");
        home
    }

    /// A home with a running cluster `local`.
    pub fn with_cluster() -> Self {
        let home = Self::with_images();
        home.up();
        home
    }

    /// A home with a running cluster in which Greeter runs and `admin` may greet in English.
    pub fn with_greeter() -> Self {
        let home = Self::with_cluster();
        home.ok(&format!("replica load {GREETER}:latest --yes"));
        home.change_greeting("grant");
        home
    }

    /// Grants or revokes `admin` to greet in English.
    #[track_caller]
    pub fn change_greeting(&self, verb: &str) {
        let params = r#"{"language":"en"}"#;
        let permission = [
            GREETER_V1,
            "greeting:create",
            "--account",
            "admin",
            "--params",
            params,
        ];
        self.run(&[&["permission", verb], &permission[..]].concat())
            .expect_ok();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn images(&self) -> PathBuf {
        self.path().join("images")
    }

    /// The folder of the cluster `local`.
    pub fn cluster(&self) -> PathBuf {
        self.path().join("clusters/local")
    }

    /// Starts the cluster in the background. Its port is free: many tests run at once.
    pub fn up(&self) {
        let is_new = !self.cluster().join("cluster.json").exists();
        let port = processes::free_port().to_string();
        let port: &[&str] = if is_new { &["--port", &port] } else { &[] };
        self.run(&[&["up", "local", "--detach"], port].concat())
            .expect_ok();
    }

    /// The command, ready to be run with nothing of this machine's user in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_reside")), arguments)
    }

    /// The same of another build of the program.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("RESIDE_HOME", self.path())
            .stdin(Stdio::null());
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command and goes on.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs a line of words that must succeed; returns what it printed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.run(&line.split(' ').collect::<Vec<_>>()).expect_ok().out
    }

    /// Runs a line of words that must fail; returns the error.
    #[track_caller]
    pub fn fails(&self, line: &str) -> String {
        let said = self.run(&line.split(' ').collect::<Vec<_>>());
        assert!(
            matches!(said.code, Some(1 | 2)),
            "`{line}` has not failed: {said:?}"
        );
        assert_eq!(
            said.out, "",
            "an error is nothing for programs that read the output"
        );
        said.err
    }

    /// Runs a line of words with `--output json`.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} --output json"))).unwrap()
    }

    /// Calls Greeter.
    pub fn greet(&self, name: &str) -> Said {
        let request = format!(r#"{{"name":"{name}","language":"en"}}"#);
        self.run(&["call", "greeter", "greet", &request])
    }

    /// The record of a replica, if it is loaded.
    pub fn replica(&self, name: &str) -> Option<Value> {
        let replicas = self.json("replica list");
        replicas
            .as_array()
            .unwrap()
            .iter()
            .find(|replica| replica["name"] == name)
            .cloned()
    }

    /// Asks again and again until the answer is there.
    #[track_caller]
    pub fn eventually<T>(&self, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = answer() {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what}: not in time\n{}", self.story());
        }
    }

    /// Waits until every replica of these has this status.
    #[track_caller]
    pub fn wait_for_status(&self, replicas: &[&str], status: &str) {
        self.eventually(&format!("{replicas:?} {status}"), || {
            let said = self.run(&["replica", "list", "--output", "json"]);
            let list: Vec<Value> = serde_json::from_str(&said.out).ok()?;
            let fits = |name: &&str| {
                list.iter()
                    .any(|replica| replica["name"] == **name && replica["status"] == status)
            };
            replicas.iter().all(fits).then_some(())
        });
    }

    /// What the cluster has to say when a test fails.
    fn story(&self) -> String {
        let mut story = self.run(&["replica", "list"]).out;
        story += &processes::read_folder(&self.cluster().join("up.log"));
        story += &processes::read_folder(&self.cluster().join("logs"));
        story
    }
}

/// Held by whoever runs cargo for long: to wait for cargo's own lock is not what tests are about.
pub fn cargo() -> MutexGuard<'static, ()> {
    static CARGO: Mutex<()> = Mutex::new(());
    // A test that has failed leaves nothing behind that the next one would mind.
    CARGO.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Home {
    fn drop(&mut self) {
        processes::kill_all(self.path());
    }
}

impl Said {
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}
