//! S2: from the start of a process to a replica that is ready: its account, its profile and one CoMap of its own.

use std::path::Path;

use jazz::{CoId, CoMap, Ref};
use reside::prelude::{BoxError, Group, Migrate, Node};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::echo::{self, EchoContract, Service};
use crate::process::{Child, Steps, say};
use crate::replica::{self, Pair};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, accounts};
use crate::stats::{median, millis, round};

/// How many starts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Starts of each kind; the median counts
    #[arg(long, default_value_t = 7)]
    pub starts: usize,
}

#[derive(CoMap, Clone, Debug)]
struct Own {
    name: String,
    count: u32,
}

impl Migrate for Own {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self {
            name: "own".into(),
            count: 1,
        })
    }
}

#[derive(CoMap, Clone, Debug)]
struct Profile {
    name: String,
}

/// What the node role is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct NodeArgs {
    url: String,
    account: AccountArgs,
    /// The CoMap to load; made if there is none.
    map: Option<CoId>,
}

/// Runs the scenario once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    let pair = Pair::prepare(&server, directory)?;
    let account = accounts(&server, 1, directory)?.remove(0);
    let mut args = NodeArgs {
        url: server.url.clone(),
        account,
        map: None,
    };
    let first = Child::start("s2_node", &args, directory)?;
    args.map = Some(first.read()?);
    first.stop()?;
    let replica = starts(options, || {
        pair.callee.start("s2_replica", &(), &server, directory)
    })?;
    let node = starts(options, || Child::start("s2_node", &args, directory))?;
    let empty_process = starts(options, || Child::start("s2_empty", &(), directory))?;
    server.stop()?;
    Ok(json!({"replica": replica, "node": node, "empty_process": empty_process}))
}

/// Starts a process so many times, and once before, which makes what is missing and warms the file cache.
fn starts(options: Options, start: impl Fn() -> Result<Child, Error>) -> Result<Value, Error> {
    let once = || -> Result<_, Error> {
        let child = start()?;
        let (after, line) = child.line()?;
        if line != "ready" {
            return Err(format!("a start ended with `{line}`").into());
        }
        let measured = (millis(after), child.memory()?.rss, child.cpu()?);
        child.stop()?;
        Ok(measured)
    };
    once()?;
    let measured = (0..options.starts)
        .map(|_| once())
        .collect::<Result<Vec<_>, _>>()?;
    let ready: Vec<f64> = measured.iter().map(|start| start.0).collect();
    Ok(json!({
        "ready": round(median(ready.clone()), 2),
        "ready_min": ready.iter().copied().fold(f64::INFINITY, f64::min),
        "ready_max": ready.iter().copied().fold(0.0, f64::max),
        "rss": median(measured.iter().map(|start| start.1).collect()),
        "cpu": median(measured.iter().map(|start| start.2).collect()),
    }))
}

/// A whole replica: control block, profile, contract, reconciliation, HTTP server, and its own CoMap.
pub async fn replica_role(_: ()) -> Result<(), Error> {
    replica::run(echo::callee(), |replica, mut steps| async move {
        let own = replica.root::<Own>().await?.get()?;
        replica.serve(EchoContract, Service)?;
        if (own.name.as_str(), own.count) != ("own", 1) {
            return Err("the map is not as it was".into());
        }
        say("ready")?;
        steps.finished().await;
        Ok(())
    })
    .await
}

/// A node alone, which does what the peer's worker does.
pub async fn node_role(args: NodeArgs) -> Result<(), Error> {
    let node = args.account.connect(&args.url).await?;
    let profile: jazz::Co<Profile> = node.profile().await?;
    if profile.get()?.name != "w0" {
        return Err("another profile".into());
    }
    match args.map {
        Some(id) => {
            let own = node.load(&Ref::<Own>::new(id)).await?.get()?;
            if (own.name.as_str(), own.count) != ("own", 1) {
                return Err("the map is not as it was".into());
            }
            say("ready")?;
        }
        None => {
            let group = node.create_group()?;
            let own = node.create(&group, Own::init(&node, &group).await?)?;
            node.wait_for_sync(SYNC_TIMEOUT).await?;
            crate::process::tell(own.id())?;
        }
    }
    Steps::listen().finished().await;
    Ok(())
}

/// Does nothing.
pub async fn empty_role(_: ()) -> Result<(), Error> {
    say("ready")?;
    Steps::listen().finished().await;
    Ok(())
}
