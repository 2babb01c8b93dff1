//! The npm package jazz-tools calls our methods, we call its handlers, and each checks the other's tokens.

#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was left out"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jazz::request::{authenticate_request, generate_auth_token};
use jazz_sync::{Server, Settings};
use reside::Contract as _;
use reside::client::ContractClient;
use reside::prelude::*;
use reside::rpc::{CallError, Callee, Code, JazzCaller};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{EchoContract, Service, Text, jazz_form};

const SOON: Duration = Duration::from_secs(30);
const CONTRACT: &str = "example.org/contracts/echo.v1";

/// A running `requests.mjs`.
pub struct JazzTools {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl JazzTools {
    /// Starts it, logged into an account of its own, and returns that too.
    async fn start(folder: &Path, server: &str) -> (Self, AccountId) {
        let mut child = Command::new("node")
            .arg("requests.mjs")
            .arg(server)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is needed");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let stdout = BufReader::new(stdout).lines();
        let mut client = Self {
            _child: child,
            stdin,
            stdout,
        };
        let started = client.ask(json!({ "request": "start", "name": "Jazz" })).await;
        let account = started["account"].as_str().unwrap().parse().unwrap();
        (client, account)
    }

    pub async fn ask(&mut self, request: Value) -> Value {
        let line = format!("{request}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(SOON, self.stdout.next_line()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {request}"));
        let answer = answer.unwrap().expect("the client has ended");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_null(), "{request}: {}", answer["error"]);
        answer["ok"].clone()
    }
}

/// A sync server, a node of ours and a client of theirs.
pub struct World {
    pub node: Node,
    pub theirs: JazzTools,
    them: AccountId,
    _folder: tempfile::TempDir,
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

impl World {
    pub async fn start() -> Option<Self> {
        let interop = interop_folder()?;
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path().join("jazz.db"));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await;
        let server = server.unwrap();
        let url = format!("ws://{}", server.address().unwrap());
        tokio::spawn(server.run(std::future::pending()));
        let node = Node::builder().sync_server(&url).create_account("Rust");
        let node = node.connect().await.unwrap();
        node.wait_for_sync(SOON).await.unwrap();
        let (theirs, them) = JazzTools::start(&interop, &url).await;
        Some(Self {
            node,
            theirs,
            them,
            _folder: folder,
        })
    }

    /// Serves the methods over HTTP; returns the endpoint.
    async fn serve(&self, service: &Service) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = jazz_form::serve(&self.node, service).router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }
}

#[tokio::test]
async fn jazz_tools_calls_our_methods() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let service = Service::default();
    let endpoint = world.serve(&service).await;
    let us = world.node.account_id().clone();
    let target = |method: &str, values: Value| {
        json!({
            "request": "call", "endpoint": endpoint, "replica": "callee", "workerId": us, "contract": CONTRACT,
            "method": method, "values": values,
        })
    };

    let answer = world.theirs.ask(target("echo", json!({ "text": "hi" }))).await;
    assert_eq!(
        answer["response"]["text"],
        format!("hi from {}", world.them),
        "{answer}"
    );

    // The same again: it has been handled.
    let url = format!("{endpoint}/replicas/callee/rpc/example.org%2Fcontracts%2Fecho.v1/echo");
    let again = world
        .theirs
        .ask(json!({ "request": "sendAgain", "url": url }))
        .await;
    let expected = json!({
        "status": 400, "header": "true",
        "body": { "message": "Request payload is already handled", "code": 400 },
    });
    assert_eq!(again, expected);
    assert_eq!(service.0.load(Ordering::SeqCst), 1);

    // Errors of a method, of a name, and of a request that isn't the method's.
    let answer = world.theirs.ask(target("panic", json!({ "text": "hi" }))).await;
    assert_eq!(answer["code"], 500, "{answer}");
    let answer = world.theirs.ask(target("other", json!({ "text": "hi" }))).await;
    assert_eq!(answer["code"], 404, "{answer}");
    let plainly =
        json!({ "request": "callPlainly", "url": url, "workerId": us, "values": { "text": "plain" } });
    let answer = world.theirs.ask(plainly.clone()).await;
    assert_eq!(
        answer["response"]["text"],
        format!("plain from {}", world.them),
        "{answer}"
    );
    let mut wrong = plainly;
    wrong["values"] = json!({ "text": 7 });
    let answer = world.theirs.ask(wrong).await;
    assert_eq!(answer["code"], 400, "{answer}");
    // Without what it was made for, it says nothing of the method.
    let mut elsewhere = target("echo", json!({ "text": "hi" }));
    elsewhere["request"] = json!("callPlainly");
    elsewhere["url"] = json!(url);
    elsewhere["values"] = json!({ "text": "hi", "reside:call": format!("{CONTRACT}/panic") });
    let answer = world.theirs.ask(elsewhere).await;
    assert_eq!(answer["code"], 401, "{answer}");
    assert_eq!(service.0.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn we_call_handlers_of_jazz_tools() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let listening = world.theirs.ask(json!({ "request": "listen" })).await;
    let callee = Callee {
        account: world.them.clone(),
        name: "theirs".to_owned(),
        endpoint: listening["endpoint"].as_str().unwrap().to_owned(),
    };
    let caller = JazzCaller::new(world.node.clone(), callee);
    let client = ContractClient::new(EchoContract::identity(), Arc::new(caller)).with_timeout(SOON);
    let hi = Text {
        text: "hi".to_owned(),
    };

    let answer: Text = client.call("echo", false, &hi).await.unwrap();
    assert_eq!(answer.text, format!("hi from {}", world.node.account_id()));

    match client.call::<_, Text>("panic", false, &hi).await {
        Err(CallError::Refused(error)) => {
            assert_eq!((error.code(), error.message()), (Code::NoPermission, "as asked"));
            assert_eq!(error.details(), Some(&json!({ "text": "hi" })));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tokens_are_good_on_either_side() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let theirs = world.theirs.ask(json!({ "request": "token" })).await;
    let header = format!("Jazz {}", theirs["token"].as_str().unwrap());
    let account = authenticate_request(&world.node, Some(&header)).await.unwrap();
    assert_eq!(account, Some(world.them.clone()));

    let ours = generate_auth_token(&world.node).unwrap();
    let checked = world
        .theirs
        .ask(json!({ "request": "authenticate", "token": ours }))
        .await;
    assert_eq!(
        checked,
        json!({ "account": world.node.account_id(), "error": null })
    );
    let forged = ours.replacen(world.node.account_id().as_str(), world.them.as_str(), 1);
    let checked = world
        .theirs
        .ask(json!({ "request": "authenticate", "token": forged }))
        .await;
    assert_eq!(checked["error"], "Invalid signature");
    let ours = authenticate_request(&world.node, Some(&format!("Jazz {forged}"))).await;
    assert_eq!(ours.unwrap_err().to_string(), "Invalid signature");
}
