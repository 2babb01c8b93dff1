//! What can be set, with defaults that suit a small machine.

use std::path::PathBuf;

use jazz::storage::Durability;
use jazz::transport::FRAME_BYTES_MAX;

use crate::tls::TlsFiles;

const MIB: usize = 1024 * 1024;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SQLite file.
    pub storage: PathBuf,
    /// When a write counts as durable.
    pub durability: Durability,
    /// Certificate and key; without them connections aren't encrypted.
    pub tls: Option<TlsFiles>,
    /// What clients may use.
    pub limits: Limits,
}

/// What clients may use, so that none of them, nor all together, can bring the server down.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at once.
    pub connections_max: usize,
    /// Most connections at once from one address.
    pub connections_per_address_max: Option<usize>,
    /// Longest frame.
    pub frame_bytes_max: usize,
    /// Most bytes that wait for a client that doesn't read; more are waited for only if it does.
    pub queue_bytes_max: usize,
    /// Most bytes that wait for all clients. When it is reached, those for whom much waits are cut off.
    pub queue_bytes_total_max: usize,
    /// Size of the database from which nothing new is taken.
    pub storage_bytes_max: Option<u64>,
    /// About how much memory values may take. Those not used for the longest time leave it first.
    pub cache_bytes_max: usize,
}

impl Settings {
    /// The defaults: durable against loss of power, without TLS, default limits.
    pub fn new(storage: PathBuf) -> Self {
        Self {
            storage,
            durability: Durability::default(),
            tls: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: None,
            frame_bytes_max: FRAME_BYTES_MAX,
            queue_bytes_max: 64 * MIB,
            queue_bytes_total_max: 512 * MIB,
            storage_bytes_max: None,
            cache_bytes_max: 256 * MIB,
        }
    }
}
