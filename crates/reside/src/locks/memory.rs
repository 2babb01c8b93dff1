//! Locks within one process, for tests and the cluster in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Lease, LockService};
use crate::contract::BoxError;

/// Leases that whoever shares a clone sees.
#[derive(Clone, Default)]
pub struct MemoryLocks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Number and end of the newest lease of each lock.
    leases: Mutex<HashMap<String, (u64, Option<Instant>)>>,
    freed: Notify,
}

struct MemoryLease {
    locks: MemoryLocks,
    name: String,
    number: u64,
}

impl MemoryLocks {
    /// Takes the lock if it is free; otherwise tells until when it is held.
    fn try_acquire(&self, name: &str, ttl: Duration) -> Result<MemoryLease, Instant> {
        let mut leases = self.0.leases.lock();
        let (number, held_until) = leases.entry(name.to_owned()).or_insert((0, None));
        if let Some(end) = held_until.filter(|end| *end > Instant::now()) {
            return Err(end);
        }
        *number += 1;
        *held_until = Some(Instant::now() + ttl);
        Ok(MemoryLease {
            locks: self.clone(),
            name: name.to_owned(),
            number: *number,
        })
    }

    /// Ends or extends a lease that still holds.
    fn change(&self, name: &str, number: u64, until: Option<Instant>) -> bool {
        let mut leases = self.0.leases.lock();
        let lease = leases.get_mut(name).filter(|(newest, _)| *newest == number);
        let holds = lease.filter(|(_, end)| end.is_some_and(|end| end > Instant::now()));
        holds.map(|(_, end)| *end = until).is_some()
    }
}

impl LockService for MemoryLocks {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        ttl: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Lease>>, BoxError>> {
        let deadline = Instant::now() + wait;
        async move {
            loop {
                let freed = self.0.freed.notified();
                match self.try_acquire(name, ttl) {
                    Ok(lease) => return Ok(Some(Box::new(lease) as Box<dyn Lease>)),
                    Err(_) if Instant::now() >= deadline => return Ok(None),
                    // Whichever comes first: somebody gives it back, its lease ends, or there is no time left.
                    Err(end) => drop(timeout_at(end.min(deadline), freed).await),
                }
            }
        }
        .boxed()
    }
}

impl Lease for MemoryLease {
    fn renew(&self, ttl: Duration) -> BoxFuture<'_, Result<bool, BoxError>> {
        let until = Instant::now() + ttl;
        ready(Ok(self.locks.change(&self.name, self.number, Some(until)))).boxed()
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if self.locks.change(&self.name, self.number, None) {
            self.locks.0.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::{LockError, Locks};

    const SOON: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn work_under_one_lock_does_not_overlap() {
        let locks = Locks::new(MemoryLocks::default());
        let slow = async {
            tokio::time::sleep(LONG).await;
            Ok(|| Ok(()))
        };
        let (first, second) = tokio::join!(
            locks.with("a", SOON, slow),
            locks.with("a", SOON, async { Ok(|| Ok(())) })
        );
        assert!(first.is_ok());
        assert!(matches!(second, Err(LockError::Held(_))));
        assert!(locks.with("a", SOON, async { Ok(|| Ok(())) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_when_the_lease_is_lost() {
        let service = MemoryLocks::default();
        let locks = Locks::new(service.clone());
        let losing = async {
            service.change("a", 1, None);
            tokio::time::sleep(LONG).await;
            Ok(|| -> Result<(), BoxError> { panic!("must not be called") })
        };
        assert!(matches!(
            locks.with("a", SOON, losing).await,
            Err(LockError::Lost(_))
        ));
    }
    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_by_whoever_was_away_too_long() {
        let locks = Locks::new(MemoryLocks::default());
        // Which of the work and the renewal is looked at first is left to chance.
        for _ in 0..20 {
            let paused = async {
                tokio::time::advance(LONG).await;
                Ok(|| -> Result<(), BoxError> { panic!("must not be called") })
            };
            assert!(matches!(
                locks.with("a", SOON, paused).await,
                Err(LockError::Lost(_))
            ));
        }
    }
}
