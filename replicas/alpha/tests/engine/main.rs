//! Alpha's engine over a sync server in memory, with images and orchestrator played by the tests. Time is paused: what
//! waits for somebody who never comes is over at once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where it stands"
)]

mod approvals;
mod greeter_process;
mod images;
mod model;
mod objects;
mod permission_requests;
mod permissions;
mod requests;
mod resumption;
mod rollouts;
mod support;
mod wire;
