//! Tests of the crate at its public seams, most of them against vectors that the reference packages made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod branches;
mod convergence;
mod flow;
mod hardening;
mod interop;
mod local;
mod permissions;
mod simulation;
mod support;
mod sync;
mod vectors_content;
mod vectors_groups;
mod vectors_invalid;
mod vectors_primitives;
mod vectors_streams;
mod vectors_sync;
