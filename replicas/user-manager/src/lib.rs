//! The User Manager: knows the users of a cluster and what they may do (SYSTEM.md, section 9).
//!
//! What users may do stands in their sets and in the default set; what the control blocks of replicas expect of users
//! follows from these (`wishes`, pure) and is written by nobody else (`targets`). A change for one user touches that
//! user's entries only; one loop (`engine`) makes everything true when replicas come and go.

mod check;
mod engine;
mod members;
mod service;
mod targets;
pub mod testing;
mod wishes;

use alpha_v1::{AlphaContract, ManageControlBlocks, ReadReplicas};
use reside::prelude::*;
use user_manager_v1::UserManagerContract;

use engine::Engine;
use service::Service;

/// Identity of the image.
pub const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/user-manager";

/// Returns what the User Manager is called, provides and uses.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(IDENTITY, Info::long_running("user-manager").exclusive())
        .en(
            "User Manager",
            "Knows the users of the cluster and what they may do",
        )
        .ru(
            "Управление пользователями",
            "Знает пользователей кластера и их разрешения",
        )
        .implements::<UserManagerContract>("users")
        .requires::<AlphaContract>("alpha", |alpha| {
            alpha
                .en("Alpha", "Finds replicas, and writes what users may do there")
                .ru(
                    "Альфа",
                    "Находит реплики и записывает, что там разрешено пользователям",
                )
                .permission(&ReadReplicas {})
                .permission(&ManageControlBlocks {})
        })
}

/// Serves the contract until the replica shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let contract = replica.implementation::<UserManagerContract>()?;
    let alpha = replica.requirement::<AlphaContract>("alpha")?;
    alpha.wait_until_granted().await?;
    let engine = Engine::open(&replica, contract.data(), alpha.data().await?).await?;
    replica.serve(UserManagerContract, Service::new(contract, engine.clone()))?;
    engine.run(replica.shutdown_token()).await;
    Ok(())
}
