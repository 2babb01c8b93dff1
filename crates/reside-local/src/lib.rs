//! One machine as an orchestrator: keeps objects in the shape of the Kubernetes API, runs their processes, routes
//! HTTP to them, and leases locks.
//!
//! A [`Runtime`] is one long-lived process. The Local Sentinel talks to it through a [`RuntimeClient`] over a Unix
//! socket, as the Kubernetes Sentinel talks to a cluster. Objects are kept on disk, so a runtime that starts again
//! starts everything again without being told. It knows nothing of replicas, contracts or Jazz, and isolates nothing:
//! all processes run as the same user.

mod api;
mod client;
mod controller;
pub mod folder_lock;
mod gateway;
mod locks;
mod logs;
pub mod manifest;
mod probe;
mod runtime;
mod spawn;
mod stand_in;
mod store;
pub mod trampoline;
mod workload;

pub use client::{ClientError, ObjectEvent, RuntimeClient};
pub use logs::LogLine;
pub use manifest::{Kind, ManifestError};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError, Settings};
pub use spawn::{Images, Program};
pub use stand_in::StandIn;
pub use store::Object;
