//! Permission reconciliation: makes what accounts have what the control block says they should have.
//!
//! - *Expected flow*: at start and after every change, each permission whose `expected` differs from `current`, be it
//!   Alpha's or the user manager's, gets its handler called, then `current` set; then the account concerned gets its grants published.
//! - *Guarantees*: no change is lost, since what is looked at is the state and never the event; one handler at a time
//!   per account, revocations first; accounts don't wait for each other; what fails is retried with back-off and stops
//!   nothing else; an end (`expiresAt`) is a revocation at that time.
//! - *Assumptions*: handlers are idempotent, since one that was cut off runs again, and those of several accounts may
//!   interleave at their awaits.
//! - *Caveats*: a handler that takes longer than [`HANDLER_TIMEOUT`] is cut off and retried.
//! - *Errors*: an entry for an unknown contract or permission, or under a wrong key, is logged and left alone until it
//!   changes.

mod lane;
mod plan;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use jazz::Timestamp;
use tokio::time::Instant;
use tracing::{error, warn};

pub(crate) use lane::Context;
pub use lane::HANDLER_TIMEOUT;
use lane::{Discovered, Lane, LaneEnd, Outcome, Settled};

use crate::{rcb::PermissionEntry, work_queue::WorkQueue};

/// How often everything is looked at without a reason.
const RESYNC_INTERVAL: Duration = Duration::from_secs(600);
/// How many accounts are served at once.
const LANES_MAX: usize = 32;
/// How far ahead an end is waited for in one go: the clock may be set in between.
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// What there is to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Work {
    /// Everything, in case something was missed.
    Resync,
    /// Which of Alpha's entries are new, and which are gone.
    Discover,
    /// What is expected of users.
    Users,
    /// One entry, by its key.
    Entry(String),
    /// What is published to an account.
    Account(String),
}

/// Something that has ended.
enum End {
    Discovery(Vec<Discovered>),
    Lane(LaneEnd),
}

pub(crate) struct Reconciler {
    cx: Arc<Context>,
    queue: WorkQueue<Work>,
    changes: SelectAll<BoxStream<'static, Work>>,
    under_way: FuturesUnordered<BoxFuture<'static, End>>,
    discovering: bool,
    /// Accounts that have a lane.
    busy: HashSet<String>,
    /// What came while it could not be taken up.
    deferred: Vec<Work>,
    /// What was published about, so that an account is looked at only when something of it has changed.
    settled: HashMap<String, Vec<PermissionEntry>>,
}

impl Reconciler {
    /// Loads the entries that there are, so that checks know them. Nothing is carried out before [`Reconciler::run`].
    pub(crate) async fn open(cx: Context) -> Self {
        let mut reconciler = Self {
            cx: Arc::new(cx),
            queue: WorkQueue::new(),
            changes: SelectAll::new(),
            under_way: FuturesUnordered::new(),
            discovering: false,
            busy: HashSet::new(),
            deferred: Vec::new(),
            settled: HashMap::new(),
        };
        let discovered = reconciler.cx.clone().discover().await;
        reconciler.changes.push(
            reconciler
                .cx
                .permissions
                .subscribe()
                .map(|_| Work::Discover)
                .boxed(),
        );
        reconciler.changes.push(
            reconciler
                .cx
                .table
                .users
                .expected
                .subscribe()
                .map(|_| Work::Users)
                .boxed(),
        );
        reconciler.take_discovered(discovered);
        reconciler.look_at_users();
        reconciler.queue_keys();
        reconciler.queue.after(Work::Resync, RESYNC_INTERVAL);
        reconciler
    }

    /// Reconciles until the future is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(Some(work)) = self.changes.next().now_or_never() {
                self.queue.changed(work);
            }
            self.take_up_due();
            let next = self.queue.next();
            tokio::select! {
                Some(work) = self.changes.next() => self.queue.changed(work),
                Some(end) = self.under_way.next() => self.take_end(end),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Starts what is due, unless its account is busy or too many are.
    fn take_up_due(&mut self) {
        let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
        for work in self.queue.take_due() {
            let account = match &work {
                Work::Discover if self.discovering => {
                    self.deferred.push(work);
                    continue;
                }
                Work::Discover => {
                    self.discovering = true;
                    let discovery = self.cx.clone().discover();
                    self.under_way.push(discovery.map(End::Discovery).boxed());
                    continue;
                }
                Work::Resync => {
                    self.queue_everything();
                    continue;
                }
                Work::Users => {
                    self.look_at_users();
                    continue;
                }
                Work::Entry(key) => key.split(':').next().unwrap_or_default(),
                Work::Account(account) => account,
            };
            let new_lane = !lanes.contains_key(account);
            if self.busy.contains(account) || (new_lane && self.busy.len() + lanes.len() >= LANES_MAX) {
                self.deferred.push(work);
                continue;
            }
            let lane = lanes
                .entry(account.to_owned())
                .or_insert_with(|| Lane::of(account));
            match work {
                Work::Entry(key) => lane.keys.push(key),
                _ => lane.publish = true,
            }
        }
        for (account, lane) in lanes {
            self.busy.insert(account);
            self.under_way
                .push(self.cx.clone().work_off(lane).map(End::Lane).boxed());
        }
    }

    fn take_end(&mut self, end: End) {
        match end {
            End::Discovery(discovered) => {
                self.discovering = false;
                self.take_discovered(discovered);
            }
            End::Lane(end) => self.take_lane_end(end),
        }
        for work in std::mem::take(&mut self.deferred) {
            self.queue.after(work, Duration::ZERO);
        }
    }

    fn take_discovered(&mut self, discovered: Vec<Discovered>) {
        let mut failure = None;
        for Discovered { key, entry } in discovered {
            let work = Work::Entry(key.clone());
            match entry {
                None => self.queue.changed(work),
                Some(Ok(entry)) => {
                    self.queue.changed(work.clone());
                    self.changes
                        .push(entry.subscribe().map(move |_| work.clone()).boxed());
                    self.cx.table.insert(key, entry);
                }
                Some(Err(error)) => failure = Some((key, error)),
            }
        }
        match failure {
            None => self.queue.succeeded(&Work::Discover),
            Some((key, error)) => {
                let retry_in = self.queue.failed(Work::Discover);
                warn!(
                    error = &error as &dyn Error,
                    key,
                    ?retry_in,
                    "an entry of the control block can't be loaded"
                );
            }
        }
    }

    fn queue_everything(&mut self) {
        self.queue.after(Work::Resync, RESYNC_INTERVAL);
        self.queue.after(Work::Discover, Duration::ZERO);
        self.look_at_users();
        self.queue_keys();
    }

    fn queue_keys(&mut self) {
        match self.cx.table.all_keys() {
            Ok(keys) => {
                for key in keys {
                    self.queue.after(Work::Entry(key), Duration::ZERO);
                }
            }
            Err(error) => error!(%error, "the permissions of users can't be read"),
        }
    }

    fn look_at_users(&mut self) {
        match self.cx.table.look_at_users() {
            Ok(changed) => {
                self.queue.succeeded(&Work::Users);
                for key in changed {
                    self.queue.changed(Work::Entry(key));
                }
            }
            Err(error) => {
                let retry_in = self.queue.failed(Work::Users);
                warn!(%error, ?retry_in, "the permissions of users can't be read");
            }
        }
    }

    fn take_lane_end(&mut self, end: LaneEnd) {
        self.busy.remove(&end.account);
        let mut publish = false;
        for (key, outcome) in end.outcomes {
            let work = Work::Entry(key.clone());
            match outcome {
                Outcome::Ignored => {
                    self.queue.succeeded(&work);
                    self.forget_failure(&key);
                }
                Outcome::Settled(Settled { entries, gone }) => {
                    self.queue.succeeded(&work);
                    self.forget_failure(&key);
                    let clock = &self.cx.table.clock;
                    let counting = entries.iter().filter(|entry| entry.is_effective(clock.now()));
                    if let Some(end) = counting.filter_map(|entry| entry.expected.expires_at).min() {
                        self.queue.after(work, clock.until(end).min(EXPIRY_WAIT_MAX));
                    }
                    if gone {
                        self.cx.table.remove_gone(&key);
                        publish |= self.settled.remove(&key).is_some();
                    } else if self.settled.get(&key) != Some(&entries) {
                        self.settled.insert(key, entries);
                        publish = true;
                    }
                }
                Outcome::Failed(error) => {
                    let retry_in = self.queue.failed(work);
                    error!(
                        error = &*error as &dyn Error,
                        key,
                        ?retry_in,
                        "a permission could not be carried out"
                    );
                    self.note_failure(&key, &*error, retry_in);
                }
            }
        }
        let work = Work::Account(end.account);
        match end.published {
            Some(Ok(())) => self.queue.succeeded(&work),
            Some(Err(error)) => {
                let retry_in = self.queue.failed(work.clone());
                warn!(
                    error = &*error as &dyn Error,
                    ?work,
                    ?retry_in,
                    "grants could not be published"
                );
            }
            None => {}
        }
        if publish {
            self.queue.changed(work);
        }
    }
}

impl Reconciler {
    /// Shows administrators that a handler fails. Carrying permissions out doesn't depend on it.
    fn note_failure(&self, key: &str, error: &(dyn Error + 'static), retry_in: Duration) {
        let now = self.cx.table.clock.now();
        let wait = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
        let retry_at = Timestamp(now.0.saturating_add(wait));
        if let Err(error) = self.cx.failures.note(key, error, now, retry_at) {
            warn!(%error, key, "a failure could not be noted in the control block");
        }
    }

    fn forget_failure(&self, key: &str) {
        if let Err(error) = self.cx.failures.forget(key) {
            warn!(%error, key, "a failure could not be taken out of the control block");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
