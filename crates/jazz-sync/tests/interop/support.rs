//! What the tests share: a jazz-tools client, a server, nodes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jazz::Node;
use jazz_sync::{Server, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longer than anything takes, on a machine that is busy with other things too.
pub const SOON: Duration = Duration::from_secs(30);

/// A running `client.mjs`.
pub struct JazzTools {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    pub account: jazz::AccountId,
}

/// The folder with the npm packages; without them the test is skipped here and fails in CI.
pub fn interop_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    if folder.join("node_modules/jazz-tools").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "run `npm ci` in interop/");
    eprintln!("skipped: run `npm ci` in interop/ to test against jazz-tools");
    None
}

impl JazzTools {
    pub async fn start(folder: &Path, server: &str) -> Self {
        let mut child = Command::new("node")
            .arg("client.mjs")
            .arg(server)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is needed");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stdout = BufReader::new(stdout).lines();
        let nobody = "co_z1111111111111111111".parse().unwrap();
        let mut client = Self {
            _child: child,
            stdin,
            stdout,
            account: nobody,
        };
        let answer = client.ask(json!({ "request": "start", "name": "Jazz" })).await;
        client.account = answer["account"].as_str().unwrap().parse().unwrap();
        client
    }

    pub async fn ask(&mut self, request: Value) -> Value {
        self.stdin
            .write_all(format!("{request}\n").as_bytes())
            .await
            .unwrap();
        let answer = tokio::time::timeout(SOON, self.stdout.next_line()).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("no answer to {request}"))
            .unwrap()
            .expect("the client has ended");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(
            answer["error"].is_null(),
            "{request}: {}",
            answer["error"].as_str().unwrap_or_default()
        );
        answer["ok"].clone()
    }
}

pub async fn server(folder: &Path) -> String {
    let settings = Settings::new(folder.join("jazz.db"));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings)
        .await
        .unwrap();
    let url = format!("ws://{}", server.address().unwrap());
    tokio::spawn(server.run(std::future::pending()));
    url
}

pub async fn node(url: &str) -> Node {
    Node::builder()
        .sync_server(url)
        .create_account("Rust")
        .connect()
        .await
        .unwrap()
}
