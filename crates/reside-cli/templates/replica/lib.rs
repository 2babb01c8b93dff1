//! A replica that says in its log how often it has been started.

use reside::prelude::*;

/// What the replica remembers. Nobody else can read it.
#[derive(CoMap, Clone, Debug)]
pub struct Memory {
    /// How often the replica has been started.
    pub starts: u32,
}

impl Migrate for Memory {
    async fn init(_node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        Ok(Self { starts: 0 })
    }
}

/// Describes the replica. `Info` can't change once the replica is in a cluster.
///
/// `.implements::<Contract>("key")` and `.requires::<Contract>("key", |key| key.permission(…))` say what it provides and
/// what it uses.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new("@identity@", Info::long_running("@name@").exclusive())
        .en("@Title@", "Remembers how often it was started")
        .ru("@Title@", "Помнит, сколько раз её запускали")
}

/// Runs until the replica shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let memory = replica.root::<Memory>().await?;
    memory.update(|memory| memory.starts += 1)?;
    let starts = memory.get()?.starts;
    tracing::info!(starts, "started");
    replica.shutdown_requested().await;
    Ok(())
}
