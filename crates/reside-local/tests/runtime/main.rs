//! The runtime with real processes and connections: shell scripts as the programs of images.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod crash_loop;
mod gateway;
mod locks;
mod logs;
mod readiness;
mod stand_ins;
mod support;
mod workloads;
