//! Which calls were answered already: nonces, kept for as long as their time is accepted.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::seal::NONCE_BYTES;

/// How far the time of a call may be from ours, either way.
pub const TIME_WINDOW: Duration = Duration::from_secs(60);

/// Most calls that are remembered; more than a callee can answer in the window.
const NONCES_MAX: usize = 1_000_000;

/// Why a call isn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too old, or from the future.
    OutOfTime,
    /// Seen before.
    Replayed,
    /// Too many calls to remember; better refuse one than forget one.
    Full,
}

/// Remembers calls.
#[derive(Debug, Default)]
pub struct Replays {
    seen: HashSet<[u8; NONCE_BYTES]>,
    /// Nonces in the order of their arrival, with the time from which they are refused anyway.
    expiring: VecDeque<(u64, [u8; NONCE_BYTES])>,
}

/// Checks the time of a call, in milliseconds since 1970.
pub fn check_time(made_at: u64, now: u64) -> Result<(), Refusal> {
    if made_at.abs_diff(now) <= window() {
        Ok(())
    } else {
        Err(Refusal::OutOfTime)
    }
}

fn window() -> u64 {
    TIME_WINDOW.as_millis() as u64
}

impl Replays {
    /// Accepts a call once. The time must have been [checked](check_time).
    pub fn accept(&mut self, nonce: [u8; NONCE_BYTES], now: u64) -> Result<(), Refusal> {
        while self.expiring.front().is_some_and(|(end, _)| *end < now) {
            if let Some((_, nonce)) = self.expiring.pop_front() {
                self.seen.remove(&nonce);
            }
        }
        if self.seen.len() >= NONCES_MAX {
            return Err(Refusal::Full);
        }
        if !self.seen.insert(nonce) {
            return Err(Refusal::Replayed);
        }
        // A call dated ahead is acceptable for up to two windows from now.
        self.expiring.push_back((now.saturating_add(2 * window()), nonce));
        Ok(())
    }
}
