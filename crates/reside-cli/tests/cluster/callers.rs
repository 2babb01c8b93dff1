//! Somebody who calls Greeter from this process, all the time.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jazz::{AccountId, Node};
use parking_lot::Mutex;
use reside::config::AccessContext;
use reside::rpc::{HttpTransport, RpcClient};
use reside::{Clock, Connector, Identity, NodeDirectory};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::harness::{GREETER_V1, Home, PATIENCE};

/// Between the end of a call and the next one.
const PAUSE: Duration = Duration::from_millis(10);

/// A caller with an account of its own, who may greet in English.
pub struct Caller {
    tokio: Runtime,
    connector: Connector,
    greeter: AccountId,
    contract: Identity,
}

/// What became of calls: the text of the greeting, or the error.
pub type Outcome = Result<String, String>;

/// Calls that go on until somebody looks at what became of them.
pub struct Load {
    outcomes: Arc<Mutex<Vec<Outcome>>>,
    task: JoinHandle<()>,
}

impl Caller {
    /// Makes the account and has it granted what it needs.
    pub fn new(home: &Home) -> Self {
        let tokio = Runtime::new().unwrap();
        let settings = fs::read_to_string(home.cluster().join("cluster.json")).unwrap();
        let settings: Value = serde_json::from_str(&settings).unwrap();
        let connecting = Node::builder()
            .sync_server(format!("ws://127.0.0.1:{}", settings["syncPort"]))
            .create_account("caller");
        let node = tokio.block_on(connecting.connect()).unwrap();
        tokio.block_on(node.wait_for_sync(PATIENCE)).unwrap();
        let own = node.credentials().unwrap();
        let account = own.account_id.to_string();
        let params = r#"{"language":"en"}"#;
        let grant = ["permission", "grant", GREETER_V1, "greeting:create"];
        let to = ["--account", &account, "--params", params];
        home.run(&[&grant[..], &to[..]].concat()).expect_ok();
        let directory = Arc::new(NodeDirectory::new(node.clone()));
        let transport = Arc::new(HttpTransport::default());
        let rpc = RpcClient::new(own.account_id, own.agent_secret, directory, transport);
        let connector = Connector::new(node, rpc, AccessContext::External, Clock::System);
        let greeter = home.json("replica info greeter")["accountId"].clone();
        Self {
            tokio,
            connector,
            greeter: serde_json::from_value(greeter).unwrap(),
            contract: GREETER_V1.parse().unwrap(),
        }
    }

    /// Calls once.
    pub fn greet(&self) -> Outcome {
        self.tokio
            .block_on(greet(&self.connector, &self.greeter, &self.contract))
    }

    /// Calls on and on; each call begins when the last one has ended.
    pub fn load(&self) -> Load {
        let (connector, greeter, contract) = (
            self.connector.clone(),
            self.greeter.clone(),
            self.contract.clone(),
        );
        let outcomes = Arc::<Mutex<Vec<Outcome>>>::default();
        let into = outcomes.clone();
        let task = self.tokio.spawn(async move {
            loop {
                let outcome = greet(&connector, &greeter, &contract).await;
                into.lock().push(outcome);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Load { outcomes, task }
    }
}

impl Load {
    /// Waits until this many more calls have ended; returns what became of all since the last look.
    pub fn take(&self, home: &Home, more: usize) -> Vec<Outcome> {
        let wanted = self.outcomes.lock().len() + more;
        home.eventually("more calls", || {
            (self.outcomes.lock().len() >= wanted).then_some(())
        });
        std::mem::take(&mut *self.outcomes.lock())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn greet(connector: &Connector, greeter: &AccountId, contract: &Identity) -> Outcome {
    let request = json!({ "name": "Ada", "language": "en" });
    let answer = connector.call(greeter, contract, "greet", &request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    Ok(answer["text"].as_str().unwrap().to_owned())
}
