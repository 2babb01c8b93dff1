//! The example's Greeter in a world with Alpha, and people who call it and read what it writes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use greeter_v1::{GreeterClient, GreeterContract, Greeting};
use jazz::{CoId, Credentials};
use reside::config::{AccessContext, NetworkConfig};
use reside::locks::{Locks, MemoryLocks};
use reside::prelude::*;
use reside::rpc::{InMemoryTransport, RpcClient};
use reside::{Connector, Launch, NodeDirectory};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::support::*;

/// The Greeter's number.
const GREETER: u32 = 3;
const ENDPOINT: &str = "memory://greeter";
/// How often something that takes its time is looked for.
const PATIENCE: usize = 500;

/// The credentials of a replica that Alpha has loaded.
async fn credentials(alpha: &Alpha, id: u32) -> Credentials {
    let secret = alpha.engine.state().secrets.get(id.to_string()).unwrap();
    Credentials::of(secret.unwrap().parse().unwrap())
}

/// The running Greeter.
pub struct Greeter {
    replica: Replica,
    transport: InMemoryTransport,
    shutdown: CancellationToken,
    task: JoinHandle<RunResult>,
}

impl Greeter {
    /// Starts it as Alpha has loaded it.
    pub async fn start(world: &World, alpha: &Alpha) -> Self {
        let (transport, shutdown) = (InMemoryTransport::default(), CancellationToken::new());
        let launch = Launch {
            node: world.log_in(credentials(alpha, GREETER).await).await,
            control_block: alpha.record(GREETER).await.rcb.id().clone(),
            network: NetworkConfig {
                internal_endpoint: Some(ENDPOINT.to_owned()),
                ..NetworkConfig::default()
            },
            transport: Arc::new(transport.clone()),
            clock: world.clock,
            locks: Locks::new(MemoryLocks::default()),
            sync_server: world.server.clone().into(),
            shutdown: shutdown.clone(),
        };
        let running = launch.start(&greeter::definition()).await.unwrap();
        let replica = running.replica().clone();
        replica.node().wait_for_sync(SOON).await.unwrap();
        let router = running.router();
        transport.add(ENDPOINT, replica.name(), router.clone());
        let task = tokio::spawn(running.run(greeter::run(replica.clone())));
        until_ready(&router, replica.name()).await;
        Self {
            replica,
            transport,
            shutdown,
            task,
        }
    }

    /// Stops it, or has it vanish.
    pub async fn stop(&mut self, is_crash: bool) {
        if is_crash {
            self.task.abort();
            self.replica.node().shutdown().await;
        } else {
            self.shutdown.cancel();
            (&mut self.task).await.unwrap().unwrap();
        }
    }

    pub fn node(&self) -> &Node {
        self.replica.node()
    }

    pub fn contract(&self) -> Implementation<GreeterContract> {
        self.replica.implementation::<GreeterContract>().unwrap()
    }

    pub async fn greetings(&self) -> Co<CoList<Greeting>> {
        let greetings = self.contract().data().get().unwrap().greetings;
        self.node().load(&greetings).await.unwrap()
    }
}

/// An account with a node of its own.
pub struct Somebody {
    node: Node,
    connector: Connector,
    greeter: AccountId,
}

impl Somebody {
    /// Somebody new.
    pub async fn new(world: &World, greeter: &Greeter, name: &str) -> Self {
        let node = Node::builder()
            .local_server(&world.server)
            .create_account(name)
            .connect()
            .await
            .unwrap();
        node.wait_for_sync(SOON).await.unwrap();
        Self::of(node, greeter)
    }

    /// The account of a replica.
    pub async fn replica(world: &World, greeter: &Greeter, alpha: &Alpha, id: u32) -> Self {
        Self::of(world.log_in(credentials(alpha, id).await).await, greeter)
    }

    fn of(node: Node, greeter: &Greeter) -> Self {
        Self {
            connector: connector(&node, greeter),
            greeter: greeter.replica.account_id().clone(),
            node,
        }
    }

    /// Reaches a Greeter that was started anew.
    pub fn meet(&mut self, greeter: &Greeter) {
        self.connector = connector(&self.node, greeter);
    }

    pub fn account(&self) -> &AccountId {
        self.node.account_id()
    }

    pub fn client(&self) -> GreeterClient {
        self.connector
            .provider::<GreeterContract>(self.greeter.clone())
            .client()
    }

    /// Whether a greeting that the Greeter has just written can be decrypted: by the node alone, which asks nobody.
    pub async fn can_read(&self, greeter: &Greeter, text: &str) -> bool {
        let greetings = greeter.contract().data().get().unwrap().greetings;
        let Ok(list) = self.node.load(&greetings).await else {
            return false;
        };
        // Whether it can be read is decided once everything is there.
        for id in [greetings.id(), list.owner().id()] {
            for _ in 0..PATIENCE {
                if transactions(&self.node, id) >= transactions(greeter.node(), id) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(
                transactions(&self.node, id) >= transactions(greeter.node(), id),
                "{id} has come"
            );
        }
        let items = list.items().unwrap_or_default();
        items.iter().any(|greeting| greeting.text == text)
    }
}

fn connector(node: &Node, greeter: &Greeter) -> Connector {
    let Credentials {
        account_id,
        agent_secret,
    } = node.credentials().unwrap();
    let directory = Arc::new(NodeDirectory::new(node.clone()));
    let rpc = RpcClient::new(
        account_id,
        agent_secret,
        directory,
        Arc::new(greeter.transport.clone()),
    );
    let clock = greeter.replica.clock();
    Connector::new(node.clone(), rpc, AccessContext::Internal, clock)
}

/// How many transactions of a value a node holds.
fn transactions(node: &Node, id: &CoId) -> usize {
    node.driver().with(|core, _| {
        let log = core.values().get(id);
        log.map_or(0, |log| {
            log.sessions().values().map(|session| session.len()).sum()
        })
    })
}

/// Waits until its methods answer.
async fn until_ready(router: &Router, name: &str) {
    let path = format!("/replicas/{name}/readyz");
    loop {
        let probe = Request::get(&path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(probe).await.unwrap();
        if answer.status().is_success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
