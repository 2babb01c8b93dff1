//! The typed layer as its users see it, on nodes of one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod accounts;
mod compile_errors;
mod feeds;
mod files;
mod layout;
mod lists;
mod loading;
mod maps;
mod permissions;
mod requests;
mod subscriptions;
mod support;
mod sync;
mod texts;
mod transactions;
mod unique;
mod vector_http;
