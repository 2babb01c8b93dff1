//! The CRDT of classic Jazz (CoJSON 0.20), wire-compatible with npm `cojson`: ids, cryptography, session logs, groups,
//! accounts, and the content of values.
//!
//! This crate has no clock, no randomness, no storage and no network: a [`Cx`] brings the time and random bytes of each
//! local write. It knows nothing of Jazz schemas.

pub mod content;
pub mod crypto;
pub mod group;
pub mod header;
pub mod ids;
pub mod json;
pub mod limits;
pub mod local;
pub mod log;
pub mod message;
pub mod node;
pub mod secrets;
pub mod sync;
pub mod transaction;
pub mod values;

/// Where random bytes come from.
pub trait Entropy {
    /// Fills `bytes` with bytes nobody can guess.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// What a local write takes from outside: the time and randomness.
pub struct Cx<'a> {
    /// The present.
    pub now: transaction::Timestamp,
    /// Random bytes.
    pub rng: &'a mut dyn Entropy,
}

pub use local::{NewValue, WriteError};
pub use node::{Credentials, Node};
