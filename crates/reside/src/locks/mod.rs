//! Locks: leases on names, for replicas that should not do the same work twice.
//!
//! Locks are for efficiency. Nobody can check a fence inside a CRDT, so safety comes from data with one writer and
//! from reconciliation that may run again; a lease that is lost while its holder is paused is noticed only afterwards.

mod local;
mod memory;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use local::LocalLocks;
pub use memory::MemoryLocks;

use crate::contract::BoxError;

/// How long a lease lasts without being renewed.
const TTL: Duration = Duration::from_secs(4);
/// How long to wait for the lead before it is asked for again.
const LEAD_WAIT: Duration = Duration::from_secs(60);

/// Names a lease: grows with every lease of a lock.
pub type Fence = u64;

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
    /// Takes a lock for `ttl`, waiting up to `wait` for it; `None` if it was held all the time.
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        ttl: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Fence>, BoxError>>;

    /// Makes a lease last `ttl` from now; `false` if it is over.
    fn renew<'a>(
        &'a self,
        name: &'a str,
        fence: Fence,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, BoxError>>;

    /// Ends a lease.
    fn release<'a>(&'a self, name: &'a str, fence: Fence) -> BoxFuture<'a, Result<(), BoxError>>;
}

/// A lease that is given back when it is dropped, also if whoever worked under it was dropped himself.
struct Lease {
    service: Arc<dyn LockService>,
    name: String,
    fence: Fence,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (service, name, fence) = (self.service.clone(), std::mem::take(&mut self.name), self.fence);
        // A lease that can't be given back ends by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { service.release(&name, fence).await });
        }
    }
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
        let acquired = self
            .0
            .acquire(name, TTL, wait)
            .await
            .map_err(LockError::Unreachable)?;
        let fence = acquired.ok_or_else(|| LockError::Held(name.to_owned()))?;
        let _lease = Lease {
            service: self.0.clone(),
            name: name.to_owned(),
            fence,
        };
        tokio::select! {
            result = work => result.map_err(LockError::Work).and_then(|commit| commit().map_err(LockError::Work)),
            () = self.keep(name, fence) => Err(LockError::Lost(name.to_owned())),
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

    /// Renews a lease until it is lost.
    async fn keep(&self, name: &str, fence: Fence) {
        let mut renewed = Instant::now();
        loop {
            sleep(TTL / 3).await;
            match self.0.renew(name, fence, TTL).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(_) if renewed.elapsed() < TTL => {}
                Err(_) => return,
            }
        }
    }
}
