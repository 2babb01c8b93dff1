//! Somebody who calls Greeter from this process, all the time.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    node: Node,
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
        change_greeting(home, "grant", own.account_id.as_str());
        let directory = Arc::new(NodeDirectory::new(node.clone()));
        let transport = Arc::new(HttpTransport::default());
        let rpc = RpcClient::new(own.account_id, own.agent_secret, directory, transport);
        let connector = Connector::new(node.clone(), rpc, AccessContext::External, Clock::System);
        let greeter = home.json("replica info greeter")["accountId"].clone();
        Self {
            tokio,
            node,
            connector,
            greeter: serde_json::from_value(greeter).unwrap(),
            contract: GREETER_V1.parse().unwrap(),
        }
    }

    /// Grants or revokes what it needs.
    pub fn change(&self, home: &Home, verb: &str) {
        change_greeting(home, verb, self.node.account_id().as_str());
    }

    /// Tells when a subscription to what it was granted sees that there is nothing any more.
    pub fn notices_revocation(&self) -> JoinHandle<Instant> {
        let granted = self.tokio.block_on(async {
            let profile = self
                .connector
                .profile(&self.greeter)
                .await
                .unwrap()
                .get()
                .unwrap();
            let index = self.node.load(&profile.grants.unwrap()).await.unwrap();
            let own = index.get(self.node.account_id().as_str()).unwrap().unwrap();
            let granted = self.node.load(&own).await.unwrap();
            let mut changes = granted.subscribe();
            changes
                .wait_for(|granted| !granted.is_empty())
                .await
                .unwrap()
                .unwrap();
            granted
        });
        self.tokio.spawn(async move {
            granted
                .subscribe()
                .wait_for(|granted| granted.is_empty())
                .await
                .unwrap()
                .unwrap();
            Instant::now()
        })
    }

    /// Waits for something of its own.
    pub fn wait<T>(&self, task: JoinHandle<T>) -> T {
        self.tokio.block_on(task).unwrap()
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

fn change_greeting(home: &Home, verb: &str, account: &str) {
    let change = ["permission", verb, GREETER_V1, "greeting:create"];
    let of = ["--account", account, "--params", r#"{"language":"en"}"#];
    home.run(&[&change[..], &of[..]].concat()).expect_ok();
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
