//! The server as clients and operators see it: over a real socket, on a real file.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod clients;
mod hostile;
mod maintenance;
mod offline;
mod operation;
mod support;
