//! The lock service: leases that end with the connection they were granted on, or by themselves. First come, first
//! served.
//!
//! The protocol, HTTP with JSON over the Unix socket that `RESIDE_LOCK_SOCKET` names:
//!
//! * `POST /locks/acquire` `{name, ttlMs, waitMs}` → 200 and the line `{fence}`, or 409 if it was taken for all of
//!   `waitMs`. The answer ends when the lease does. Closing the connection ends the lease, or the wait for it.
//! * `POST /locks/renew` `{name, fence, ttlMs}` → 200, or 409 if the lease is over
//!
//! `fence` names the lease and grows from lease to lease. The kernel closes the connections of a process that dies, so
//! its locks are free at once; one that hangs keeps them until its leases' time is over.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest name of a lock.
const NAME_BYTES_MAX: usize = 512;
/// Most locks that are held at once.
const LOCKS_MAX: usize = 100_000;
/// Longest lease, and longest wait for one.
const TIME_MAX: Duration = Duration::from_secs(600);

/// All locks.
#[derive(Clone)]
pub(crate) struct Locks(Arc<Mutex<Table>>);

struct Table {
    last_fence: u64,
    held: HashMap<String, Lock>,
}

/// A lock that is held.
struct Lock {
    fence: u64,
    until: Instant,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    ttl: Duration,
    granted: oneshot::Sender<Lease>,
}

/// A lock that is held, for whoever holds it. Dropping it hands the lock on.
pub(crate) struct Lease {
    locks: Locks,
    name: String,
    fence: u64,
}

impl Locks {
    /// All locks are free. Fences follow the clock, so that they also grow when the runtime is started again.
    pub fn new() -> Self {
        let now = jiff::Timestamp::now().as_microsecond();
        Self(Arc::new(Mutex::new(Table {
            last_fence: now.unsigned_abs(),
            held: HashMap::new(),
        })))
    }

    /// Takes a lock, waiting for it if need be. Whoever drops the future has given up his place.
    pub async fn acquire(&self, name: &str, ttl: Duration, wait: Duration) -> Option<Lease> {
        let receiver = {
            let mut table = self.0.lock();
            let Some(lock) = table.held.get_mut(name) else {
                let has_room = table.held.len() < LOCKS_MAX;
                return has_room.then(|| self.grant(&mut table, name, ttl, VecDeque::new()));
            };
            lock.waiting.retain(|waiting| !waiting.granted.is_closed());
            let (granted, receiver) = oneshot::channel();
            lock.waiting.push_back(Waiting { ttl, granted });
            receiver
        };
        timeout(wait, receiver).await.ok()?.ok()
    }

    /// Makes a lease last longer; `false` if it is over.
    pub fn renew(&self, name: &str, fence: u64, ttl: Duration) -> bool {
        let now = Instant::now();
        let mut table = self.0.lock();
        let lock = table.held.get_mut(name);
        let Some(lock) = lock.filter(|lock| lock.fence == fence && lock.until > now) else {
            return false;
        };
        lock.until = now + ttl;
        true
    }

    fn grant(&self, table: &mut Table, name: &str, ttl: Duration, waiting: VecDeque<Waiting>) -> Lease {
        table.last_fence += 1;
        let lock = Lock {
            fence: table.last_fence,
            until: Instant::now() + ttl,
            waiting,
        };
        table.held.insert(name.to_owned(), lock);
        Lease {
            locks: self.clone(),
            name: name.to_owned(),
            fence: table.last_fence,
        }
    }
}

impl Lease {
    /// Waits until its time is over.
    async fn over(&self) {
        loop {
            let until = match self.locks.0.lock().held.get(&self.name) {
                Some(lock) if lock.fence == self.fence => lock.until,
                _ => return,
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut table = self.locks.0.lock();
        let Some(mut lock) = table.held.remove(&self.name) else {
            return;
        };
        while let Some(next) = lock.waiting.pop_front() {
            if next.granted.is_closed() {
                continue;
            }
            let lease = self.locks.grant(&mut table, &self.name, next.ttl, lock.waiting);
            drop(table);
            // Whoever has gone in this very moment leaves the lease to be dropped, which hands it on.
            drop(next.granted.send(lease));
            return;
        }
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
    async fn acquire(State(locks): State<Locks>, Json(asked): Json<LockRequest>) -> Result<Body, StatusCode> {
        let asked = asked.check()?;
        let wait = Duration::from_millis(asked.wait_ms).min(TIME_MAX);
        let lease = locks
            .acquire(&asked.name, asked.ttl(), wait)
            .await
            .ok_or(StatusCode::CONFLICT)?;
        Ok(answer(lease))
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
    Router::new()
        .route("/locks/acquire", post(acquire))
        .route("/locks/renew", post(renew))
        .with_state(locks)
}

/// A body that holds the lease: it is dropped when it has ended and when the connection closes.
fn answer(lease: Lease) -> Body {
    let line = format!("{}\n", json!({ "fence": lease.fence }));
    let lines = stream::iter([line]).chain(stream::pending());
    let while_held = lines.take_until(async move { lease.over().await });
    Body::from_stream(while_held.map(Ok::<_, Infallible>))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);
    const NO_WAIT: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn a_lock_has_one_holder_at_a_time() {
        let locks = Locks::new();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        assert!(locks.acquire("a", TTL, NO_WAIT).await.is_none());
        assert!(locks.acquire("b", TTL, NO_WAIT).await.is_some());
        let fence = first.fence;
        drop(first);
        assert!(locks.acquire("a", TTL, NO_WAIT).await.unwrap().fence > fence);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_renewed_is_over() {
        let locks = Locks::new();
        let lease = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        let granted = Instant::now();
        tokio::time::advance(TTL / 2).await;
        assert!(locks.renew("a", lease.fence, TTL));
        lease.over().await;
        assert_eq!(granted.elapsed(), TTL + TTL / 2);
        assert!(!locks.renew("a", lease.fence, TTL));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_served_in_order() {
        let locks = Locks::new();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        let (mut second, mut third) = (
            Box::pin(locks.acquire("a", TTL, TTL)),
            Box::pin(locks.acquire("a", TTL, TTL)),
        );
        assert!(futures::poll!(&mut second).is_pending());
        assert!(futures::poll!(&mut third).is_pending());
        drop(first);
        assert!(futures::poll!(&mut third).is_pending());
        drop(second.await.unwrap());
        assert!(third.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gave_up_waiting_is_passed_over() {
        let locks = Locks::new();
        let first = locks.acquire("a", TTL, NO_WAIT).await.unwrap();
        assert!(locks.acquire("a", TTL, TTL / 2).await.is_none());
        let mut leaving = Box::pin(locks.acquire("a", TTL, TTL));
        assert!(futures::poll!(&mut leaving).is_pending());
        drop(first);
        // The lock was granted to this one, who never took it.
        drop(leaving);
        assert!(locks.acquire("a", TTL, NO_WAIT).await.is_some());
    }
}
