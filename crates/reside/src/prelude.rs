//! What contracts and replicas use all the time: `use reside::prelude::*;`.

pub use jazz::{AccountId, Co, CoList, CoMap, CoRecord, Group, Node, Ref, Role, Timestamp};
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

pub use crate::{
    BoxError, Call, CallError, ContractManifest, ControlBlock, DisplayInfo, HandlerResult, Identity,
    Implementation, Info, Migrate, Permission, PermissionHandler, Replica, ReplicaDefinition,
    ReplicaManifest, Requirement, RpcError, RpcResult, RunResult, contract,
};
