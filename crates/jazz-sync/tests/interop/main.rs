//! jazz-tools clients from npm and our nodes, over our server and theirs: each reads what the other wrote.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know what was left out"
)]

mod branches;
mod browser;
mod everything;
mod groups;
mod notes;
mod offline;
mod schema;
mod support;
