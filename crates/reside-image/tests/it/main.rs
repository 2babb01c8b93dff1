//! The crate from outside: packing, storing, reading, unpacking, building, and what other tools say about the result.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod build;
mod concurrency;
mod hostile;
mod images;
mod peer;
mod prune;
mod registry;
mod registry_hostile;
mod skopeo;
mod support;
mod unpack;
