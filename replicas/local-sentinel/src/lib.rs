//! The sentinel of one machine: implements `kubernetes-sentinel.v1` over the local runtime (SYSTEM.md, section 7).
//!
//! It is level-triggered: whenever a collection or an object of the runtime changes, it compares what is wished for
//! with what it applied last. Wishes are in Jazz and objects in the runtime, so its own failure loses nothing.

mod keeper;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use kubernetes_sentinel_v1::{KubernetesSentinelContract, SentinelData};
use reside::prelude::*;
use reside_local::RuntimeClient;

pub use keeper::Keeper;

/// Identity of the image.
pub const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/local-sentinel";

/// Names the socket of the runtime.
const RUNTIME_SOCKET: &str = "RESIDE_RUNTIME_SOCKET";
/// It looks at everything again after this long even if nothing has changed.
const RESYNC: Duration = Duration::from_secs(60);
/// Wait before a broken connection to the runtime is made again.
const RETRY: Duration = Duration::from_secs(1);

/// Held by the sentinel that acts. While it is updated there are two: the old one starts the new one and ends itself.
const LOCK: &str = "reside/local-sentinel";

/// Returns what the sentinel is called and provides.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(
        IDENTITY,
        Info::long_running("local-sentinel").exclusive().scalable(),
    )
    .en(
        "Local Sentinel",
        "Runs the workloads of the cluster on this machine",
    )
    .ru(
        "Локальный страж",
        "Выполняет рабочие нагрузки кластера на этой машине",
    )
    .implements::<KubernetesSentinelContract>("sentinel")
}

/// Runs the sentinel until it shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let socket = std::env::var_os(RUNTIME_SOCKET).map(PathBuf::from);
    let socket = socket.ok_or_else(|| format!("the environment variable {RUNTIME_SOCKET} is not set"))?;
    let data = replica
        .implementation::<KubernetesSentinelContract>()?
        .data()
        .clone();
    let runtime = RuntimeClient::new(socket);
    let stop = replica.shutdown_token();
    replica
        .locks()
        .lead(LOCK, &stop, || keep(&data, &runtime))
        .await?;
    Ok(())
}

/// Keeps the runtime and the collections in step for as long as it is polled.
async fn keep(data: &Co<SentinelData>, runtime: &RuntimeClient) {
    loop {
        if let Err(error) = keep_connected(data, runtime).await {
            tracing::warn!(%error, "lost the runtime");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn keep_connected(data: &Co<SentinelData>, runtime: &RuntimeClient) -> Result<(), BoxError> {
    let mut keeper = Keeper::open(data, runtime.clone()).await?;
    let mut events = runtime.watch().await?;
    loop {
        keeper.apply_wishes().await?;
        tokio::select! {
            event = events.next() => {
                keeper.observe(event.ok_or("the runtime has ended the watch")?).await?;
            }
            () = keeper.changed() => {}
            () = tokio::time::sleep(RESYNC) => {}
        }
    }
}
