//! Replicas as processes: their accounts and control blocks, as an administrator makes them, and their environment.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jazz::{Node, Role};
use reside::{ControlBlock, Replica, ReplicaDefinition, RunResult, config};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::process::{Child, Steps, tell};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, create_account};

/// A replica that can be started.
#[derive(Clone, Serialize, Deserialize)]
pub struct Prepared {
    account: AccountArgs,
    control_block: String,
}

/// The two replicas of a scenario: one that is called and one that calls it.
#[derive(Serialize, Deserialize)]
pub struct Pair {
    /// Implements the contract.
    pub callee: Prepared,
    /// Requires it.
    pub caller: Prepared,
}

/// Arguments of the role that prepares the two.
#[derive(Serialize, Deserialize)]
pub struct PrepareArgs {
    url: String,
}

/// The role: makes accounts and control blocks, and says who serves the requirement.
pub async fn prepare_role(args: PrepareArgs) -> Result<(), Error> {
    let admin = Node::builder()
        .sync_server(&args.url)
        .create_account("admin")
        .connect()
        .await?;
    let (callee, _) = prepare(&admin, &args.url, 1, "callee").await?;
    let (caller, block) = prepare(&admin, &args.url, 2, "caller").await?;
    ControlBlock::set_requirement(&block, "echo", &vec![callee.account.id.parse()?]).await?;
    admin.wait_for_sync(SYNC_TIMEOUT).await?;
    tell(&Pair { callee, caller })
}

async fn prepare(
    admin: &Node,
    url: &str,
    id: u32,
    name: &str,
) -> Result<(Prepared, jazz::Co<ControlBlock>), Error> {
    let account = create_account(url, name).await?;
    let group = admin.create_group()?;
    group.add_member(&account.id.parse()?, Role::Writer).await?;
    let block = ControlBlock::open(admin, &group, id, name).await?;
    let control_block = block.id().to_string();
    Ok((
        Prepared {
            account,
            control_block,
        },
        block,
    ))
}

impl Pair {
    /// Prepares the two in a process of its own, which has ended by then.
    pub fn prepare(server: &SyncServer, directory: &Path) -> Result<Self, Error> {
        let url = server.url.clone();
        let child = Child::start("prepare", &PrepareArgs { url }, directory)?;
        let pair = child.read()?;
        child.stop()?;
        Ok(pair)
    }
}

impl Prepared {
    /// Its account.
    pub fn account(&self) -> &AccountArgs {
        &self.account
    }

    /// Starts the replica in a role, with the environment that a sentinel would give it.
    pub fn start(
        &self,
        role: &str,
        argument: &impl Serialize,
        server: &SyncServer,
        directory: &Path,
    ) -> Result<Child, Error> {
        // The port is free at this moment; nobody else on the machine takes ports of this range on purpose.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let endpoint = format!("http://127.0.0.1:{port}");
        let variables = [
            (config::CONTROL_BLOCK_ID, self.control_block.as_str()),
            (config::ACCOUNT_ID, &self.account.id),
            (config::AGENT_SECRET, &self.account.secret),
            (config::SYNC_SERVER_URL, &server.url),
            (config::INTERNAL_ENDPOINT, &endpoint),
            (config::LISTEN_HOST, "127.0.0.1"),
            (config::LISTEN_PORT, &port),
        ];
        Child::start_with(role, argument, directory, &variables)
    }
}

/// Runs a replica in this process until the end of the standard input: as `reside::main` does, without looking at the
/// arguments.
pub async fn run<F, Fut>(definition: ReplicaDefinition, own: F) -> Result<(), Error>
where
    F: FnOnce(Replica, Steps) -> Fut,
    Fut: Future<Output = RunResult> + Send + 'static,
{
    let steps = Steps::listen();
    let ended = reside::start_replica(definition, |replica| own(replica, steps)).await;
    if ended == ExitCode::SUCCESS {
        Ok(())
    } else {
        Err("the replica failed".into())
    }
}

/// Time for what is under way to come to rest before something is read from outside.
pub const REST: Duration = Duration::from_millis(1500);
