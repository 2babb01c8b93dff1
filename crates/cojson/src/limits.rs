//! Bounds on what is accepted from outside and on what is written. Everything that grows has one.

/// Longest plaintext of one transaction that is created; a format rule.
pub const MAX_CREATED_TRANSACTION_BYTES: usize = 1024 * 1024;

/// Longest transaction accepted: the longest created one in base64, with room for its meta.
pub const MAX_RECEIVED_TRANSACTION_BYTES: usize = 4 * MAX_CREATED_TRANSACTION_BYTES;

/// A session gets a checkpoint (a kept signature) after this many bytes of transactions; a format rule.
pub const CHECKPOINT_BYTES: usize = 100 * 1024;

/// Longest stable text of a header.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Most sessions one CoValue may have.
pub const MAX_SESSIONS: usize = 50_000;

/// Most bytes that accounts without a part in its group may have in one CoValue, all together.
pub const MAX_OUTSIDER_BYTES: usize = 256 * 1024;

/// Most sessions that accounts without a part in its group may have in one CoValue, all together.
pub const MAX_OUTSIDER_SESSIONS: usize = 256;

/// Most transactions of one session in one message.
pub const MAX_BATCH_TRANSACTIONS: usize = 100_000;

/// How far ahead of our clock a received transaction may be dated, unless set otherwise: five minutes.
pub const DEFAULT_MAX_FUTURE_MILLIS: u64 = 5 * 60 * 1000;

/// Most values in one `reconcile` message.
pub const MAX_RECONCILE_VALUES: usize = 10_000;

/// Most messages of one peer that may wait for other values.
pub const MAX_PARKED_MESSAGES: usize = 4_096;

/// Most values one peer is remembered to be interested in.
pub const MAX_SUBSCRIPTIONS: usize = 1_000_000;

/// Most bytes of one peer's messages that may wait for other values.
pub const MAX_PARKED_BYTES: usize = 64 * 1024 * 1024;

/// Most sessions, over all values, of which one peer's counts are remembered.
pub const MAX_REMEMBERED_SESSIONS: usize = 2_000_000;

/// Most reconciliation batches of one peer that may be unsettled. Honest peers have one at a time.
pub const MAX_RECONCILE_BATCHES: usize = 8;
