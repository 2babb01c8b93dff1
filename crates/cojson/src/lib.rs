//! The CRDT of classic Jazz (CoJSON 0.20), wire-compatible with npm `cojson`: ids, cryptography, session logs, groups,
//! accounts, and the content of values.
//!
//! A [`Node`] holds CoValues: maps, lists and streams, each owned by a group that says who may read and write. A value is
//! kept as the signed logs of its writers; what it shows is derived from them.
//!
//! This crate has no clock, no randomness, no storage and no network: a [`Cx`] brings the time and random bytes of each
//! local write, and what is to be stored or sent is asked for with [`Node::poll_output`]. It knows nothing of Jazz
//! schemas.
//!
//! ```
//! use cojson::group::Role;
//! use cojson::header::ValueType;
//! use cojson::transaction::{Privacy, Timestamp};
//! use cojson::{Cx, Entropy, NewValue, Node};
//! use serde_json::json;
//!
//! struct Random;
//! impl Entropy for Random {
//!     fn fill(&mut self, bytes: &mut [u8]) {
//!         getrandom::fill(bytes).expect("the system has randomness");
//!     }
//! }
//!
//! # fn main() -> Result<(), cojson::WriteError> {
//! let mut node = Node::new(false);
//! let mut rng = Random;
//! let mut cx = Cx { now: Timestamp(1_760_000_000_000), rng: &mut rng };
//! let me = node.create_account(&mut cx, None, "Ada")?;
//!
//! let group = node.create_group(&mut cx)?;
//! assert_eq!(node.role_of(&me.account_id, &group), Some(Role::Admin));
//!
//! let greeting = vec![json!({"op": "set", "key": "text", "value": "hello"})];
//! let map = node.create(&mut cx, NewValue::new(ValueType::CoMap, group, greeting))?;
//! node.write(&mut cx, &map, &[json!({"op": "set", "key": "to", "value": "world"})], Privacy::Private, None)?;
//! assert_eq!(node.map(&map).unwrap().to_json(), json!({"text": "hello", "to": "world"}));
//! # Ok(())
//! # }
//! ```
//!
//! # What is checked
//!
//! | threat | here |
//! |---|---|
//! | a relay relabels, alters or forges a transaction | refused: only the two strict shapes, and every batch is verified ([`transaction`], [`log`]) |
//! | a batch that doesn't verify is followed by one that does | taken: a refused batch leaves no trace |
//! | a log is passed off as one of another value or session | our own sessions name their place; of others, a copy of one that is known is refused ([`values`]) |
//! | an invite is used against members | it gives its role only to who has less, and keys only to whom it made members ([`group`]) |
//! | parents that lead back to a group, webs of parents, long chains of keys | found, and walked in bounded time |
//! | who has no part in a group writes to its values | kept up to a bound ([`limits`]), without counting |
//! | what is known of a transaction's meta tells of its changes | not in ours: they are apart in the key stream |
//! | a value comes back without all we wrote to it | not written to: the same place would mean the same key stream |
//! | transactions from the future | refused when received, beyond [a setting](Node::set_max_future_millis) |
//!
//! # What the format can't promise
//!
//! The time of a transaction is its author's claim: who once had a role can write with an old date for ever. Removing a
//! member changes keys for what comes, and hides nothing that was there. Changes and meta of one private transaction share
//! a key stream, and nothing but the session's signature protects them from change. An account has one agent for ever.
//! Relays see all of a group's structure, and of private values their times, sizes and authors.

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
mod outsiders;
mod read;
pub mod secrets;
pub mod sync;
pub mod transaction;
mod transfer;
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
