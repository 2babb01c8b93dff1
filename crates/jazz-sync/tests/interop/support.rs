//! What the tests share: a jazz-tools client, a server, nodes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jazz::Node;
use jazz_sync::{Server, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

/// Longer than anything takes, on a machine that is busy with other things too.
pub const SOON: Duration = Duration::from_secs(120);

/// The browser, as `interop/browser.mjs` starts it.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A running `client.mjs` or `browser.mjs`.
pub struct JazzTools {
    child: Child,
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
    /// A client with a new account.
    pub async fn start(folder: &Path, server: &str) -> Self {
        Self::run(folder, "client.mjs", server).await
    }

    /// A page in a browser, with a new account; without a browser the test is skipped here and fails in CI.
    pub async fn browser(folder: &Path, server: &str) -> Option<Self> {
        if Path::new(CHROMIUM).exists() {
            return Some(Self::run(folder, "browser.mjs", server).await);
        }
        assert!(std::env::var_os("CI").is_none(), "{CHROMIUM} is needed");
        eprintln!("skipped: install chromium to test against a page");
        None
    }

    async fn run(folder: &Path, program: &str, server: &str) -> Self {
        let mut child = Command::new("node")
            .arg(program)
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
            child,
            stdin,
            stdout,
            account: nobody,
        };
        let answer = client.ask(json!({ "request": "start", "name": "Jazz" })).await;
        client.account = answer["account"].as_str().unwrap().parse().unwrap();
        client
    }

    /// Ends it in good order.
    pub async fn end(mut self) {
        drop(self.stdin);
        let ended = tokio::time::timeout(SOON, self.child.wait()).await;
        assert!(ended.expect("it ends").unwrap().success());
    }

    /// The answer to a request, which must be carried out.
    pub async fn ask(&mut self, request: Value) -> Value {
        let asked = request.to_string();
        self.attempt(request)
            .await
            .unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    /// The answer to a request, or why it was refused.
    pub async fn attempt(&mut self, request: Value) -> Result<Value, String> {
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
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }
}

/// A server until the end of the test: ours, or the reference's.
pub struct SyncServer {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
    _process: Option<Child>,
}

pub async fn our_server() -> SyncServer {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(folder.path().join("jazz.db"));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings)
        .await
        .unwrap();
    let url = format!("ws://{}", server.address().unwrap());
    tokio::spawn(server.run(std::future::pending()));
    SyncServer {
        url,
        _folder: Some(folder),
        _process: None,
    }
}

pub async fn their_server(interop: &Path) -> SyncServer {
    let mut process = Command::new("node")
        .arg("server.mjs")
        .current_dir(interop)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is needed");
    let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = stdout.next_line().await.unwrap().expect("the server has ended");
    SyncServer {
        url: format!("ws://127.0.0.1:{port}"),
        _folder: None,
        _process: Some(process),
    }
}

/// A way to a server that can be cut and mended.
pub struct Line {
    pub url: String,
    is_cut: watch::Sender<bool>,
}

impl Line {
    pub async fn to(server: &SyncServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let target = server.url.strip_prefix("ws://").unwrap().to_owned();
        let (is_cut, seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut cut) = (target.clone(), seen.clone());
                tokio::spawn(async move {
                    let carry = async {
                        let mut far = TcpStream::connect(target).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = cut.wait_for(|is_cut| *is_cut) => {}
                        _ = carry => {}
                    }
                });
            }
        });
        Self { url, is_cut }
    }

    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

/// A new account whose node is connected, and which the server knows.
pub async fn node(url: &str) -> Node {
    let node = Node::builder()
        .sync_server(url)
        .create_account("Rust")
        .connect()
        .await
        .unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    node
}
