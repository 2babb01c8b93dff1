//! Locks: leases on names, for replicas that should not do the same work twice.
//!
//! A process that dies loses its leases when its lock service notices: on one machine at once, because the kernel closes
//! its connections; elsewhere when their time is over. One that hangs or is paused loses them when their time is over,
//! and notices that when it goes on.
//!
//! Locks are for efficiency. Nobody can check a lease inside a CRDT, so safety comes from data with one writer and from
//! reconciliation that may run again.

mod local;
mod memory;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub use local::LocalLocks;
pub use memory::MemoryLocks;

use crate::contract::BoxError;

/// How long a lease lasts without being renewed: how long a process may hang without losing its locks.
const TTL: Duration = Duration::from_secs(10);
/// How long to wait for the lead before it is asked for again.
const LEAD_WAIT: Duration = Duration::from_secs(60);

/// A lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else had it all the time.
    #[error("the lock {0:?} is held by somebody else")]
    Held(String),
    /// The lease ended before the work did; what the work would have written was not.
    #[error("the lease of the lock {0:?} was lost")]
    Lost(String),
    /// The lock service can't be reached.
    #[error("the lock service does not answer")]
    Unreachable(#[source] BoxError),
    /// The work under the lock failed.
    #[error(transparent)]
    Work(BoxError),
}

/// Grants leases. One implementation per place a replica can run in.
pub trait LockService: Send + Sync + 'static {
    /// Takes a lock for `ttl`, waiting up to `wait` for it; `None` if it was held all the time. Dropping the future gives
    /// up the place among those who wait.
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        ttl: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Lease>>, BoxError>>;
}

/// A lock that is held. Dropping it gives the lock back; if that fails, the lease ends when its time is over.
pub trait Lease: Send + Sync {
    /// Makes the lease last `ttl` from now; `false` if it is over.
    fn renew(&self, ttl: Duration) -> BoxFuture<'_, Result<bool, BoxError>>;
}

/// The locks of a replica. Cheap to clone.
#[derive(Clone)]
pub struct Locks(Arc<dyn LockService>);

impl Locks {
    /// Uses a lock service.
    pub fn new(service: impl LockService) -> Self {
        Self(Arc::new(service))
    }

    /// Runs `work` while holding the lock, and renews the lease meanwhile.
    ///
    /// `work` ends in a closure that writes; it is only called if the lease still holds. If the lease is lost before,
    /// `work` is dropped at its next await and nothing is written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use reside::locks::{Locks, MemoryLocks};
    /// use std::time::Duration;
    ///
    /// let locks = Locks::new(MemoryLocks::default());
    /// let sum = locks.with("sum", Duration::from_secs(1), async { Ok(|| Ok(1 + 1)) }).await;
    /// assert_eq!(sum.unwrap(), 2);
    /// # }
    /// ```
    pub async fn with<R, C>(
        &self,
        name: &str,
        wait: Duration,
        work: impl Future<Output = Result<C, BoxError>>,
    ) -> Result<R, LockError>
    where
        C: FnOnce() -> Result<R, BoxError>,
    {
        let acquired = self.0.acquire(name, TTL, wait).await;
        let lease = acquired
            .map_err(LockError::Unreachable)?
            .ok_or_else(|| LockError::Held(name.to_owned()))?;
        let held_until = Mutex::new(Instant::now() + TTL);
        let lost = || LockError::Lost(name.to_owned());
        tokio::select! {
            result = work => {
                let commit = result.map_err(LockError::Work)?;
                // Whoever was paused in the middle of the work finds here that he was away too long.
                if *held_until.lock() <= Instant::now() {
                    return Err(lost());
                }
                commit().map_err(LockError::Work)
            }
            () = keep(lease.as_ref(), &held_until) => Err(lost()),
        }
    }

    /// Does `work` while holding the lock, until `stop`: for replicas of which only one may act while two versions
    /// overlap. Whoever waits takes over when the other one has ended. `work` is dropped when it shall stop; an error
    /// means that the lease was lost or can't be had.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use reside::locks::{Locks, MemoryLocks};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let (locks, stop) = (Locks::new(MemoryLocks::default()), CancellationToken::new());
    /// locks.lead("sweeper", &stop, async || stop.cancel()).await.unwrap();
    /// # }
    /// ```
    pub async fn lead<W: Future<Output = ()>>(
        &self,
        name: &str,
        stop: &CancellationToken,
        work: impl Fn() -> W,
    ) -> Result<(), LockError> {
        while !stop.is_cancelled() {
            let leading = async {
                work().await;
                Ok(|| Ok(()))
            };
            match stop
                .run_until_cancelled(self.with(name, LEAD_WAIT, leading))
                .await
            {
                Some(Err(LockError::Held(_))) => {
                    tracing::info!(lock = name, "somebody else is still at work")
                }
                Some(result) => result?,
                None => {}
            }
        }
        Ok(())
    }
}

/// Renews a lease until it is lost.
async fn keep(lease: &dyn Lease, held_until: &Mutex<Instant>) {
    loop {
        sleep(TTL / 3).await;
        let (asked, end) = (Instant::now(), *held_until.lock());
        match timeout_at(end, lease.renew(TTL)).await {
            Ok(Ok(true)) => *held_until.lock() = asked + TTL,
            // The service may be back before the time is over.
            Ok(Err(_)) if asked < end => {}
            Ok(Ok(false) | Err(_)) | Err(_) => return,
        }
    }
}
