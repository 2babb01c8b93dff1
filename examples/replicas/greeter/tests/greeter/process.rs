//! The Greeter as a process: its command line, its environment, its signals, its memory.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use greeter_v1::{CountRequest, GreeterContract};
use jazz::{Credentials, Node};
use reside::{
    BoxError, Clock, Connector, ControlBlock, NodeDirectory, config::AccessContext, prelude::*, rpc::*,
};
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The most resident memory that an idle example replica may use. The pages of its program count, of which unoptimised
/// code has more.
const MEMORY_KIB_MAX: u64 = if cfg!(debug_assertions) { 24 } else { 20 } * 1024;

/// Runs the binary to its end, with nothing but these variables.
fn greeter(arguments: &[&str], variables: &[(&str, &str)]) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greeter"));
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
}

#[test]
fn prints_its_manifest() -> Result<(), BoxError> {
    let output = greeter(&["manifest"], &[])?;
    assert!(output.status.success());
    assert_eq!(
        ReplicaManifest::parse(&output.stdout)?,
        greeter::definition().manifest()?
    );
    assert_eq!(greeter(&["manifest", "twice"], &[])?.status.code(), Some(2));
    Ok(())
}

#[test]
fn names_all_that_is_missing_in_the_environment() -> Result<(), BoxError> {
    let output = greeter(&[], &[("RESIDE_LISTEN_PORT", "x"), ("RESIDE_LOG_FORMAT", "xml")])?;
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr)?;
    for name in [
        "CONTROL_BLOCK_ID",
        "ACCOUNT_ID",
        "AGENT_SECRET",
        "SYNC_SERVER_URL",
        "LISTEN_PORT",
        "LOG_FORMAT",
    ] {
        assert!(log.contains(&format!("RESIDE_{name}")), "{name} in {log}");
    }
    Ok(())
}

/// A sync server, and what Alpha would have made for a Greeter.
struct Site {
    url: String,
    node: Node,
    control_block: Co<ControlBlock>,
    credentials: Credentials,
    port: u16,
    _server: JoinHandle<()>,
}

impl Site {
    async fn new(folder: &Path) -> Result<Self, BoxError> {
        let settings = jazz_sync::Settings::new(folder.join("jazz.db"));
        let server = jazz_sync::Server::bind("127.0.0.1:0".parse()?, settings).await?;
        let url = format!("ws://{}", server.address()?);
        let server = tokio::spawn(async move {
            server.run(std::future::pending()).await.expect("the server runs");
        });
        let replica = Node::builder()
            .sync_server(&url)
            .create_account("greeter")
            .connect()
            .await?;
        replica.wait_for_sync(TIMEOUT).await.map_err(|_| "first")?;
        let node = Node::builder()
            .sync_server(&url)
            .create_account("admin")
            .connect()
            .await?;
        let group = node.create_group()?;
        group.add_member(replica.account_id(), Role::Writer).await?;
        let control_block = ControlBlock::open(&node, &group, 3, "greeter").await?;
        node.wait_for_sync(TIMEOUT).await?;
        // The port is free again once the listener is gone.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let credentials = replica.credentials().ok_or("the node was logged out")?;
        Ok(Self {
            url,
            node,
            control_block,
            credentials,
            port,
            _server: server,
        })
    }

    fn start(&self) -> std::io::Result<Child> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        Command::new(env!("CARGO_BIN_EXE_greeter"))
            .env_clear()
            .env("RESIDE_CONTROL_BLOCK_ID", self.control_block.id().as_str())
            .env("RESIDE_ACCOUNT_ID", self.credentials.account_id.as_str())
            .env("RESIDE_AGENT_SECRET", self.credentials.agent_secret.expose())
            .env("RESIDE_SYNC_SERVER_URL", &self.url)
            .env("RESIDE_INTERNAL_ENDPOINT", endpoint)
            .env("RESIDE_LISTEN_HOST", "127.0.0.1")
            .env("RESIDE_LISTEN_PORT", self.port.to_string())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn client(&self) -> greeter_v1::GreeterClient {
        let Credentials {
            account_id,
            agent_secret,
        } = self.node.credentials().expect("the node is logged in");
        let directory = Arc::new(NodeDirectory::new(self.node.clone()));
        let rpc = RpcClient::new(
            account_id,
            agent_secret,
            directory,
            Arc::new(HttpTransport::default()),
        );
        let connector = Connector::new(self.node.clone(), rpc, AccessContext::Internal, Clock::System);
        connector
            .provider::<GreeterContract>(self.credentials.account_id.clone())
            .client()
    }

    /// Waits until the replica has said in its profile where it is.
    async fn published(&self) -> Result<(), BoxError> {
        let account = self.node.load_account(&self.credentials.account_id).await?;
        let profile = account.profile::<reside::ReplicaProfile>().await?;
        let mut changes = profile.subscribe();
        tokio::time::timeout(TIMEOUT, changes.wait_for(|profile| profile.endpoints.is_some())).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_within_its_memory_until_it_is_told_to_stop() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let site = Site::new(folder.path()).await?;
    for _ in 0..2 {
        let child = site.start()?;
        site.published().await?;
        assert_eq!(site.client().count(CountRequest {}).await?.count, 0);
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("no VmRSS")?;
        let resident: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        assert!(resident < MEMORY_KIB_MAX, "{resident} KiB");

        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
