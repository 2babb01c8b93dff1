//! Replicas that somebody runs from their sources in the cluster's stead (`reside dev`). A session is recorded in the
//! management block and lasts as long as it holds its lock, so that one that was killed ends by itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alpha_v1::{DevSession, ManagementBlock, ReplicaId};
use jazz::LoadError;
use parking_lot::Mutex;
use reside::locks::{LockError, Locks};
use reside::prelude::*;
use tokio_util::sync::CancellationToken;

/// How long to wait for the lock of a session before it is asked for again.
const WAIT: Duration = Duration::from_secs(60);
/// Wait before a lock service that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// The sessions that are waited for.
pub struct DevSessions {
    locks: Locks,
    watched: Arc<Mutex<HashSet<ReplicaId>>>,
    stop: CancellationToken,
}

impl DevSessions {
    /// None is known yet.
    pub fn new(locks: Locks, stop: CancellationToken) -> Self {
        let watched = Arc::default();
        Self { locks, watched, stop }
    }

    /// If a session is recorded, takes the record away when the session has ended. Whoever watches the block hears of it.
    pub fn watch(&self, id: ReplicaId, management: &Co<ManagementBlock>) -> Result<(), LoadError> {
        if management.get()?.dev.is_none() || !self.watched.lock().insert(id) {
            return Ok(());
        }
        let (locks, watched, management) = (self.locks.clone(), self.watched.clone(), management.clone());
        let watching = async move {
            while let Err(error) = end(&locks, id, &management).await {
                if !matches!(error, LockError::Held(_)) {
                    tracing::warn!(replica = id, %error, "cannot tell whether a dev session goes on");
                    tokio::time::sleep(RETRY).await;
                }
            }
            watched.lock().remove(&id);
        };
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(watching));
        Ok(())
    }
}

/// Waits until nobody has the lock, and takes the record away while holding it: it is that of a session that has ended.
async fn end(locks: &Locks, id: ReplicaId, management: &Co<ManagementBlock>) -> Result<(), LockError> {
    let clear = || {
        if management.get()?.dev.is_some() {
            tracing::info!(replica = id, "a dev session has ended");
            management.update(|management| management.dev = None)?;
        }
        Ok(())
    };
    locks.with(&DevSession::lock(id), WAIT, async { Ok(clear) }).await
}
