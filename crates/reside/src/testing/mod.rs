//! A cluster in memory, for tests of contracts and replicas: real nodes, real groups, real permissions, real sealed
//! calls; no processes, no network, no images.
//!
//! ```no_run
//! # use reside::{BoxError, ReplicaDefinition, Replica, RunResult, prelude::*, testing::Cluster};
//! # async fn example<C: reside::Contract, P: Permission<Contract = C>>(definition: ReplicaDefinition, permission: P) -> Result<(), BoxError> {
//! # async fn run(replica: Replica) -> RunResult { Ok(()) }
//! let cluster = Cluster::new().await?;
//! let greeter = cluster.add(definition, run).await?;
//! let ada = cluster.account("ada").await?;
//! cluster.grant(&greeter, ada.id(), &permission).await?;
//! let client = ada.client::<C>(&greeter); // and call it
//! # Ok(()) }
//! ```

mod cluster;
mod requests;

pub use cluster::{Cluster, TestAccount, TestReplica};
