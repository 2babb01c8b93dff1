//! The SDK at its public seams, on the cluster in memory.

mod consumers;
mod lifecycle;
mod permissions;
mod requests;
mod support;
