//! The lock service: leases that end by themselves. First come, first served.
//!
//! The protocol, HTTP with JSON over the Unix socket that `RESIDE_LOCK_SOCKET` names:
//!
//! * `POST /locks/acquire` `{name, ttlMs, waitMs}` → 200 `{fence}`, or 409 if it was taken for all of `waitMs`
//! * `POST /locks/renew` `{name, fence, ttlMs}` → 200, or 409 if the lease is over
//! * `POST /locks/release` `{name, fence}` → 200
//!
//! `fence` grows with every lease of a lock and names the lease.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest name of a lock.
const NAME_BYTES_MAX: usize = 512;
/// Most locks that are held or waited for.
const LOCKS_MAX: usize = 100_000;
/// Longest lease, and longest wait for one.
const TIME_MAX: Duration = Duration::from_secs(600);

/// All locks.
#[derive(Clone, Default)]
pub(crate) struct Locks(Arc<Mutex<HashMap<String, Lock>>>);

#[derive(Default)]
struct Lock {
    /// Number of the newest lease.
    fence: u64,
    /// When the current lease ends.
    held_until: Option<Instant>,
    waiting: VecDeque<(Duration, oneshot::Sender<u64>)>,
}

impl Locks {
    /// Takes a lock, waiting for it if need be.
    pub async fn acquire(&self, name: &str, ttl: Duration, wait: Duration) -> Option<u64> {
        let receiver = {
            let mut locks = self.0.lock();
            if locks.len() >= LOCKS_MAX && !locks.contains_key(name) {
                return None;
            }
            let lock = locks.entry(name.to_owned()).or_default();
            if lock.held_until.is_none() {
                let fence = lock.lease(ttl);
                drop(locks);
                self.expire(name.to_owned(), fence);
                return Some(fence);
            }
            let (sender, receiver) = oneshot::channel();
            lock.waiting.push_back((ttl, sender));
            receiver
        };
        timeout(wait, receiver).await.ok()?.ok()
    }

    /// Makes a lease last longer; `false` if it is over.
    pub fn renew(&self, name: &str, fence: u64, ttl: Duration) -> bool {
        let mut locks = self.0.lock();
        match locks.get_mut(name) {
            Some(lock) if lock.fence == fence && lock.held_until.is_some() => {
                lock.held_until = Some(Instant::now() + ttl);
                true
            }
            _ => false,
        }
    }

    /// Ends a lease.
    pub fn release(&self, name: &str, fence: u64) {
        let mut locks = self.0.lock();
        let Some(lock) = locks
            .get_mut(name)
            .filter(|lock| lock.fence == fence && lock.held_until.is_some())
        else {
            return;
        };
        lock.held_until = None;
        while let Some((ttl, sender)) = lock.waiting.pop_front() {
            let fence = lock.lease(ttl);
            if sender.send(fence).is_ok() {
                drop(locks);
                self.expire(name.to_owned(), fence);
                return;
            }
            lock.held_until = None;
        }
    }

    /// Ends the lease when its time is over.
    fn expire(&self, name: String, fence: u64) {
        let locks = self.clone();
        tokio::spawn(async move {
            loop {
                let end = match locks.0.lock().get(&name) {
                    Some(lock) if lock.fence == fence => lock.held_until,
                    _ => None,
                };
                match end {
                    None => return,
                    Some(end) if end <= Instant::now() => return locks.release(&name, fence),
                    Some(end) => sleep_until(end).await,
                }
            }
        });
    }
}

impl Lock {
    fn lease(&mut self, ttl: Duration) -> u64 {
        self.fence += 1;
        self.held_until = Some(Instant::now() + ttl);
        self.fence
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LockRequest {
    name: String,
    #[serde(default)]
    fence: u64,
    #[serde(default)]
    ttl_ms: u64,
    #[serde(default)]
    wait_ms: u64,
}

#[derive(Serialize)]
struct Lease {
    fence: u64,
}

impl LockRequest {
    fn check(self) -> Result<Self, StatusCode> {
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            Err(StatusCode::BAD_REQUEST)
        } else {
            Ok(self)
        }
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms).clamp(Duration::from_millis(1), TIME_MAX)
    }
}

/// The lock service as HTTP.
pub(crate) fn router(locks: Locks) -> Router {
    async fn acquire(
        State(locks): State<Locks>,
        Json(asked): Json<LockRequest>,
    ) -> Result<Json<Lease>, StatusCode> {
        let asked = asked.check()?;
        let wait = Duration::from_millis(asked.wait_ms).min(TIME_MAX);
        let fence = locks
            .acquire(&asked.name, asked.ttl(), wait)
            .await
            .ok_or(StatusCode::CONFLICT)?;
        Ok(Json(Lease { fence }))
    }
    async fn renew(
        State(locks): State<Locks>,
        Json(asked): Json<LockRequest>,
    ) -> Result<StatusCode, StatusCode> {
        let asked = asked.check()?;
        if locks.renew(&asked.name, asked.fence, asked.ttl()) {
            Ok(StatusCode::OK)
        } else {
            Err(StatusCode::CONFLICT)
        }
    }
    async fn release(
        State(locks): State<Locks>,
        Json(asked): Json<LockRequest>,
    ) -> Result<StatusCode, StatusCode> {
        let asked = asked.check()?;
        locks.release(&asked.name, asked.fence);
        Ok(StatusCode::OK)
    }
    Router::new()
        .route("/locks/acquire", post(acquire))
        .route("/locks/renew", post(renew))
        .route("/locks/release", post(release))
        .with_state(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const NO_WAIT: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn a_lock_has_one_holder_at_a_time() {
        let locks = Locks::default();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        assert_eq!(locks.acquire("a", TTL, NO_WAIT).await, None);
        locks.release("a", first);
        assert!(locks.acquire("a", TTL, NO_WAIT).await.unwrap() > first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_renewed_goes_to_the_next() {
        let locks = Locks::default();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        let second = locks.acquire("a", TTL, 3 * TTL).await.unwrap();
        assert!(!locks.renew("a", first, TTL));
        assert!(locks.renew("a", second, TTL));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gave_up_waiting_is_passed_over() {
        let locks = Locks::default();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        assert_eq!(locks.acquire("a", TTL, TTL / 2).await, None);
        locks.release("a", first);
        assert!(locks.acquire("a", TTL, NO_WAIT).await.is_some());
    }
}
