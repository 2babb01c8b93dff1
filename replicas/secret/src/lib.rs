//! The Secret Replica: keeps secrets and configuration values (SYSTEM.md, section 10).
//!
//! Values are written by whoever may, directly, so they can be anything; who reads them checks them. The replica checks
//! them as well, and says in the secret's record what doesn't fit.

mod service;
mod watch;

use reside::prelude::*;
use secret_v1::SecretsContract;

use service::Service;

/// Identity of the image.
pub const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/secret";

/// Returns what the Secret Replica is called and provides.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(IDENTITY, Info::long_running("secret").exclusive())
        .en("Secret", "Keeps secrets and configuration values")
        .ru("Секрет", "Хранит секреты и значения настроек")
        .implements::<SecretsContract>("secrets")
}

/// Serves the contract until the replica shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let contract = replica.implementation::<SecretsContract>()?;
    let data = contract.data().clone();
    replica.serve(SecretsContract, Service::new(contract))?;
    let stop = replica.shutdown_token();
    stop.run_until_cancelled(watch::values(&data))
        .await
        .unwrap_or(Ok(()))
}
