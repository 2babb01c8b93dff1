//! The Seed: makes a cluster, and afterwards stands in it as replica 0, a oneshot that finds everything in order
//! (SYSTEM.md, section 8).
//!
//! [`bootstrap`] runs in the process that hosts the local runtime. Running it again on a half-made or a whole cluster
//! finishes or changes nothing.

mod bootstrap;
mod keys;
mod sync_server;

use alpha_v1::AlphaContract;
use reside::prelude::*;

pub use bootstrap::{Bootstrap, Bootstrapped, bootstrap};
pub use sync_server::{NAME as SYNC_SERVER, SyncServer, sync_server_objects};

/// Identity of the image.
pub const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/seed";

/// Returns what the Seed is called and uses.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(IDENTITY, Info::oneshot("seed").exclusive())
        .en("Seed", "Makes the cluster")
        .ru("Семя", "Создаёт кластер")
        .requires::<AlphaContract>("alpha", |alpha| alpha)
}

/// Looks whether the cluster is whole. Everything it made is managed by Alpha by now, so there is nothing to do.
pub async fn run(replica: Replica) -> RunResult {
    let alpha = replica.requirement::<AlphaContract>("alpha")?;
    let data = alpha.data().await?.get()?;
    tracing::info!(
        claimed = data.super_admin_account.is_some(),
        "the cluster is there"
    );
    Ok(())
}
