//! The code of `docs/typescript.md`, run as it stands there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use jazz::request::Receiver;
use reside::Contract as _;
use reside::prelude::*;
use reside::rpc::RpcServer;
use serde_json::json;

use crate::jazz_tools::{World, interop_folder};
use crate::{Directory, NoData, TIMEOUT};

const IDENTITY: &str = "ghcr.io/exeteres/reside/examples/contracts/greeter.v1";

/// The method of the example, without its permission.
#[contract(
    identity = "ghcr.io/exeteres/reside/examples/contracts/greeter.v1",
    data = NoData, en("Greeter", ""), ru("Приветствия", "")
)]
trait Greeter {
    #[method(en("Greet", ""), ru("Поздороваться", ""))]
    async fn greet(&self, call: &Call, request: GreetRequest) -> RpcResult<Greeting>;
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct GreetRequest {
    name: String,
    language: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Greeting {
    text: String,
}

struct Service;

impl Greeter for Service {
    async fn greet(&self, _: &Call, request: GreetRequest) -> RpcResult<Greeting> {
        let text = format!("Hello, {}! ({})", request.name, request.language);
        Ok(Greeting { text })
    }
}

fn serve(node: &Node) -> RpcServer {
    let settling = node.clone();
    let settle: reside::rpc::Settle = Arc::new(move || {
        let node = settling.clone();
        async move { node.wait_for_sync(TIMEOUT).await.map_err(RpcError::internal) }.boxed()
    });
    let credentials = node.credentials().unwrap();
    let server = RpcServer::new(
        "greeter".into(),
        credentials.account_id,
        credentials.agent_secret,
        vec![GreeterContract::identity()],
        Arc::new(Directory::default()),
        settle,
    );
    server.accept_jazz_form(Receiver::new(node));
    server.serve(<GreeterContract as reside::Serve<Service>>::dispatch(Arc::new(
        Service,
    )));
    server
}

/// The blocks of a page that are marked as JavaScript.
fn snippets(page: &str) -> Vec<&str> {
    let blocks = page.split("```js\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn the_snippet_that_calls_a_method_does() {
    let page = include_str!("../../../../docs/typescript.md");
    let [snippet] = snippets(page)[..] else {
        panic!("the page has other snippets now: run them here")
    };
    assert!(snippet.contains(IDENTITY));
    let Some(mut world) = World::start().await else {
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = serve(&world.node).router();
    tokio::spawn(async move { axum::serve(listener, router).await });

    // A folder as the page has it: the helper beside the program.
    let (interop, folder) = (interop_folder().unwrap(), tempfile::tempdir().unwrap());
    let interop = fs::canonicalize(interop).unwrap();
    std::os::unix::fs::symlink(interop.join("node_modules"), folder.path().join("node_modules")).unwrap();
    fs::copy(interop.join("reside.mjs"), folder.path().join("reside.mjs")).unwrap();
    let program = snippet
        .replace("http://127.0.0.1:4000", &endpoint)
        .replace("co_z…", world.node.account_id().as_str());
    assert!(program.contains(&endpoint) && program.contains(world.node.account_id().as_str()));
    let file = write(folder.path(), &program);
    let greeting = world.theirs.ask(json!({ "request": "run", "file": file })).await;
    assert_eq!(greeting["text"], "Hello, Ada! (en)");
}

fn write(folder: &Path, program: &str) -> String {
    let file = folder.join("program.mjs");
    fs::write(&file, format!("{program}\nexport default greeting;\n")).unwrap();
    file.to_str().unwrap().to_owned()
}
