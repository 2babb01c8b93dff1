//! Alpha: registers contracts and replicas, loads new ones, and keeps their infrastructure as it should be
//! (SYSTEM.md, section 6).
//!
//! Commands change what is wished for; one level-triggered loop (`engine`) makes it so. What can be decided
//! without looking anywhere is pure: `plan`, `objects`, `rollout`, `status`. Alpha writes the sentinel's
//! collections and can't tell which sentinel reads them.

mod carry_out;
mod dev;
mod engine;
mod grants;
mod lookups;
mod objects;
mod permissions;
mod plan;
mod requests;
mod retained;
mod rollout;
mod service;
mod settings;
mod setup;
mod state;
mod states;
mod status;
mod validate;
mod workloads;

pub use carry_out::{Accounts, ServerAccounts};
pub use engine::Engine;
pub use settings::ClusterSettings;
pub use setup::{Setup, SystemReplica};

use std::sync::Arc;
use std::time::Duration;

use alpha_v1::AlphaContract;
use kubernetes_sentinel_v1::{
    KubernetesSentinelContract, ManageDeployments, ManageIngresses, ManageJobs, ManageSecrets, ManageServices,
};
use reside::prelude::*;
use reside_image::{Sources, Store};

use service::Service;
use state::AlphaRoot;

/// Identity of Alpha's image.
pub const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/alpha";

/// Wait before the sentinel is looked for again.
const SENTINEL_RETRY: Duration = Duration::from_secs(1);

/// Held by the Alpha that acts. While Alpha updates itself there are two: the old one starts the new one, and the new
/// one waits until the old one has gone.
const LOCK: &str = "reside/alpha";

/// Returns what Alpha is called, provides and uses.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(IDENTITY, Info::long_running("alpha").exclusive().scalable())
        .en(
            "Alpha",
            "Registers contracts and replicas, loads new ones and keeps them running",
        )
        .ru(
            "Альфа",
            "Регистрирует контракты и реплики, загружает новые и поддерживает их работу",
        )
        .implements::<AlphaContract>("alpha")
        .requires::<KubernetesSentinelContract>("sentinel", |sentinel| {
            sentinel
                .permission(&ManageDeployments {})
                .permission(&ManageJobs {})
                .permission(&ManageSecrets {})
                .permission(&ManageServices {})
                .permission(&ManageIngresses {})
        })
}

/// Runs Alpha until it shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let alpha = replica.implementation::<AlphaContract>()?;
    let root = replica.root::<AlphaRoot>().await?;
    let settings = root
        .get()?
        .settings
        .ok_or("the cluster was not set up to its end")?;
    let images = Store::open(settings.image_store.ok_or("no image store is configured")?)?;
    let images = Sources::new(images);
    let accounts = ServerAccounts {
        sync_server_url: settings.sync_server_url,
    };
    let stop = replica.shutdown_token();
    let engine = Engine::open(&replica, Arc::new(images), Arc::new(accounts), stop.clone()).await?;
    replica.serve(AlphaContract, Service::new(alpha, engine.clone()))?;
    tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(find_sentinel(replica.clone(), engine.clone())),
    );
    replica.locks().lead(LOCK, &stop, || engine.act()).await?;
    Ok(())
}

/// Waits until the sentinel has let Alpha in. It may come up later than Alpha, and its failure stops nothing else.
async fn find_sentinel(replica: Replica, engine: Engine) {
    loop {
        let attempt = async {
            let sentinel = replica.requirement::<KubernetesSentinelContract>("sentinel")?;
            sentinel.wait_until_granted().await?;
            engine.use_sentinel(sentinel.data().await?);
            Ok::<(), BoxError>(())
        };
        match attempt.await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the sentinel is not there yet"),
        }
        tokio::time::sleep(SENTINEL_RETRY).await;
    }
}
