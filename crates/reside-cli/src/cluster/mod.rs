//! What commands share about clusters: which one is meant, talking to it, and running one on this machine.

pub mod defaults;
pub mod dev;
pub mod difference;
pub mod explain;
pub mod grants;
pub mod local;
pub mod period;
pub mod permissions;
pub mod records;
pub mod rollout;
pub mod secrets;
pub mod selector;
pub mod session;
pub mod signals;
pub mod sync_server;
pub mod target;
pub mod unloading;
pub mod users;
