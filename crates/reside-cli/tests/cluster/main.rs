//! Clusters as their users have them: the real binary, its processes, and what happens to them.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod bad_input;
mod callers;
mod dev;
mod disk;
mod faults;
mod harness;
mod healing;
mod images;
mod jazz;
mod new;
mod pages;
mod processes;
mod registry;
mod revocation;
mod rollouts;
mod shown;
mod sync_server;
mod transcript;
mod updates;
mod users;
mod versions;
