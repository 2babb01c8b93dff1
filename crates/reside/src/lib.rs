//! The ReSide SDK: what a contract and a replica are made with.
//!
//! A *contract* is a trait under [`macro@contract`]; a *replica* is a [`ReplicaDefinition`] and a function that is
//! handed a running [`Replica`]. Start with `docs/contracts.md` and `docs/replicas.md`, and with the examples.
//!
//! This crate never names an orchestrator, and knows nothing of who loads replicas or runs their processes: a replica
//! learns everything from its environment and its control block.

pub mod client;
mod clock;
pub mod compatibility;
pub mod config;
pub mod contract;
mod definition;
mod directory;
pub mod dispatch;
mod display;
mod failures;
mod grants;
mod implementation;
pub mod locks;
mod logging;
pub mod manifest;
pub mod permission;
pub mod prelude;
mod process;
mod profile;
mod provider;
pub mod rcb;
mod reconcile;
mod replica;
pub mod requests;
mod requirement;
pub mod rpc;
mod session;
mod start;
pub mod testing;
mod work_queue;

pub use clock::Clock;
pub use contract::{
    BoxError, Contract, HandlerResult, Migrate, Permission, PermissionHandler, RunResult, Serve,
};
pub use definition::{DefinitionError, ReplicaDefinition, RequirementBuilder};
pub use directory::NodeDirectory;
pub use display::{DisplayInfo, DisplayText, InvalidDisplayInfo};
pub use failures::{HandlerFailure, HandlerFailures};
pub use grants::{PublishedGrant, PublishedGrants};
pub use implementation::Implementation;
pub use logging::init_logging;
pub use manifest::{ContractManifest, Info, Manifest, ReplicaManifest};
pub use process::{contract_main, main, start_replica};
pub use profile::{Endpoints, ReplicaProfile};
pub use provider::{Connector, Provider, ProviderError};
pub use rcb::ControlBlock;
pub use reconcile::HANDLER_TIMEOUT;
pub use replica::{NotImplemented, Replica};
pub use requests::{PermissionRequest, PermissionRequestError, RequestedPermission};
pub use requirement::{Requirement, RequirementError};
pub use reside_identity::{self as identity, Identity, InvalidIdentity};
pub use reside_macros::{Permission, contract};
pub use rpc::{Call, CallError, RpcError, RpcResult};
pub use session::{Session, SessionError, SyncServer};
pub use start::{Launch, NotFlushed, Running, StartError};
