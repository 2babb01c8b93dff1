//! The typed layer as its users see it, on nodes of one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod accounts;
mod any;
mod branches;
mod compile_errors;
mod deletion;
mod feeds;
mod files;
mod history;
mod json;
mod layout;
mod lists;
mod loading;
mod maps;
mod permissions;
mod requests;
mod schemas;
mod subscriptions;
mod support;
mod sync;
mod texts;
mod transactions;
mod unique;
mod vector_http;
