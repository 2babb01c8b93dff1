//! Permission reconciliation: makes what accounts have what the control block says they should have.
//!
//! - *Expected flow*: at start and after every change, each entry whose `expected` differs from `current` gets its
//!   handler called, then `current` set; then the accounts concerned get their grants published.
//! - *Guarantees*: one run at a time, handlers one after the other, revocations first; no change is lost, since a run
//!   reads what is there and never what happened; a failing entry is retried with back-off and stops no other; an end
//!   (`expiresAt`) is a revocation at that time.
//! - *Assumptions*: handlers are idempotent, since one that was cut off runs again.
//! - *Caveats*: a handler that takes longer than [`HANDLER_TIMEOUT`] is cut off and retried.
//! - *Errors*: an entry for an unknown contract or permission, or under a wrong key, is logged and left alone until it
//!   changes.

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use jazz::{AccountId, Co, CoRecord, Node, Ref};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::{
    contract::{Change, HandlerResult},
    grants::{GrantTable, PublishedGrants, publish},
    implementation::Implementations,
    permission::instance_id,
    rcb::{Current, PermissionEntry},
    work_queue::WorkQueue,
};

/// How long a permission handler may take.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often everything is looked at without a reason.
const RESYNC_INTERVAL: Duration = Duration::from_secs(600);
/// How many entries are loaded at once.
const LOADS_MAX: usize = 16;
/// How far ahead an end is waited for in one go: the clock may be set in between.
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// What there is to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Work {
    /// All entries: which are new, which are gone.
    Discover,
    /// One entry, by its key.
    Entry(String),
    /// What is published to an account.
    Account(AccountId),
}

/// An entry that isn't as it should be.
struct Planned {
    key: String,
    entry: Co<PermissionEntry>,
    was: PermissionEntry,
    /// Nothing if only `current` is to be set.
    change: Option<Change>,
    current: Current,
}

pub(crate) struct Reconciler {
    node: Node,
    permissions: Co<CoRecord<Ref<PermissionEntry>>>,
    index: Co<CoRecord<Ref<PublishedGrants>>>,
    implementations: Arc<Implementations>,
    table: Arc<GrantTable>,
    queue: WorkQueue<Work>,
    changes: SelectAll<BoxStream<'static, Work>>,
}

impl Reconciler {
    pub(crate) fn new(
        node: Node,
        permissions: Co<CoRecord<Ref<PermissionEntry>>>,
        index: Co<CoRecord<Ref<PublishedGrants>>>,
        implementations: Arc<Implementations>,
        table: Arc<GrantTable>,
    ) -> Self {
        let (mut queue, mut changes) = (WorkQueue::new(), SelectAll::new());
        changes.push(permissions.subscribe().map(|_| Work::Discover).boxed());
        queue.changed(Work::Discover);
        Self {
            node,
            permissions,
            index,
            implementations,
            table,
            queue,
            changes,
        }
    }

    /// Reconciles until the future is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(Some(work)) = self.changes.next().now_or_never() {
                self.queue.changed(work);
            }
            let due = self.queue.take_due();
            if due.is_empty() {
                let next = self.queue.next();
                tokio::select! {
                    Some(work) = self.changes.next() => self.queue.changed(work),
                    () = sleep_until(next) => {}
                }
            }
            self.run_once(due).await;
        }
    }

    async fn run_once(&mut self, due: Vec<Work>) {
        let (mut entries, mut accounts) = (Vec::new(), Vec::new());
        for work in due {
            match work {
                Work::Discover => self.discover().await,
                Work::Entry(key) => entries.push(key),
                Work::Account(account) => accounts.push(account),
            }
        }
        let mut planned: Vec<_> = entries.into_iter().filter_map(|key| self.plan(key)).collect();
        planned.sort_by_key(|planned| planned.current.granted);
        for planned in planned {
            self.carry_out(planned).await;
        }
        for account in accounts {
            self.publish(account).await;
        }
    }

    /// Finds entries that are new or gone.
    pub(crate) async fn discover(&mut self) {
        self.queue.after(Work::Discover, RESYNC_INTERVAL);
        let present = match self.permissions.entries() {
            Ok(present) => present,
            Err(error) => return error!(error = &error as &dyn Error, "the control block can't be read"),
        };
        for key in self.table.keys() {
            if !present.contains_key(&key) {
                self.table.mark_gone(&key);
            }
            self.queue.changed(Work::Entry(key));
        }
        let table = self.table.clone();
        let unknown = present
            .into_iter()
            .filter(|(key, entry)| !table.has(key, entry.id()));
        let node = &self.node;
        let loads = unknown.map(|(key, entry)| async move { (node.load(&entry).await, key) });
        let loaded: Vec<_> = stream::iter(loads).buffer_unordered(LOADS_MAX).collect().await;
        for (entry, key) in loaded {
            match entry {
                Ok(entry) => {
                    let work = Work::Entry(key.clone());
                    self.queue.changed(work.clone());
                    self.changes
                        .push(entry.subscribe().map(move |_| work.clone()).boxed());
                    self.table.insert(key, entry);
                }
                Err(error) => {
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
    }

    /// Decides what has to happen to an entry; nothing if it is as it should be, or can't be understood.
    fn plan(&mut self, key: String) -> Option<Planned> {
        let (entry, gone) = self.table.get(&key)?;
        let was = match entry.get() {
            Ok(was) => was,
            Err(error) => {
                error!(
                    error = &error as &dyn Error,
                    key, "an entry of the control block can't be read"
                );
                return None;
            }
        };
        if let Some(fault) = self.fault(&key, &was) {
            warn!(key, fault, "an entry of the control block is ignored");
            return None;
        }
        let now = self.table.clock.now();
        let granted = !gone && was.expected.is_granted(now);
        if let Some(end) = was.expected.expires_at.filter(|_| granted) {
            self.queue.after(
                Work::Entry(key.clone()),
                self.table.clock.until(end).min(EXPIRY_WAIT_MAX),
            );
        }
        let params = was.expected.params.clone();
        let change = match &was.current {
            Some(current) if current.granted && !granted => Some(Change::Revoke(current.params.clone())),
            Some(current) if current.granted && current.params != params => Some(Change::Update {
                old: current.params.clone(),
                new: params.clone(),
            }),
            Some(current) if current.granted == granted => {
                self.settled(&key, &was, gone);
                return None;
            }
            _ => granted.then(|| Change::Grant(params.clone())),
        };
        Some(Planned {
            key,
            entry,
            was,
            change,
            current: Current { granted, params },
        })
    }

    /// Returns why an entry can't be carried out.
    fn fault(&self, key: &str, entry: &PermissionEntry) -> Option<&'static str> {
        if entry.key() != key {
            return Some("its key doesn't fit its content");
        }
        let Some(contract) = self.implementations.get(&entry.identity) else {
            return Some("the contract isn't implemented here");
        };
        let Some(instance_keys) = contract.instance_keys(&entry.name) else {
            return Some("the contract has no such permission");
        };
        let instance = instance_id(instance_keys, &entry.expected.params);
        (instance != entry.instance_id).then_some("its instance doesn't fit its params")
    }

    async fn carry_out(&mut self, planned: Planned) {
        let Planned {
            key,
            entry,
            was,
            change,
            current,
        } = planned;
        match call_handler(&self.implementations, &was, change)
            .await
            .and_then(|()| {
                entry.update(|entry| entry.current = Some(current.clone()))?;
                Ok(())
            }) {
            Ok(()) => {
                info!(key, granted = current.granted, "a permission was carried out");
                let gone = self.table.get(&key).is_some_and(|(_, gone)| gone);
                self.settled(&key, &was, gone);
            }
            Err(error) => {
                let retry_in = self.queue.failed(Work::Entry(key.clone()));
                error!(
                    error = &*error as &dyn Error,
                    key,
                    ?retry_in,
                    "a permission could not be carried out"
                );
            }
        }
    }

    fn settled(&mut self, key: &str, entry: &PermissionEntry, gone: bool) {
        self.queue.succeeded(&Work::Entry(key.to_owned()));
        self.queue.changed(Work::Account(entry.account.clone()));
        if gone {
            self.table.remove(key);
        }
    }

    async fn publish(&mut self, account: AccountId) {
        match publish(&self.node, &self.index, &self.table, &account).await {
            Ok(()) => self.queue.succeeded(&Work::Account(account)),
            Err(error) => {
                let retry_in = self.queue.failed(Work::Account(account.clone()));
                warn!(error = &*error as &dyn Error, %account, ?retry_in, "grants could not be published");
            }
        }
    }
}

/// Calls the handler, which may fail, hang or panic without harm to other entries.
async fn call_handler(
    implementations: &Implementations,
    entry: &PermissionEntry,
    change: Option<Change>,
) -> HandlerResult {
    let (Some(change), Some(contract)) = (change, implementations.get(&entry.identity)) else {
        return Ok(());
    };
    let handler = AssertUnwindSafe(contract.carry_out(&entry.name, change, &entry.account)).catch_unwind();
    match tokio::time::timeout(HANDLER_TIMEOUT, handler).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("the handler panicked".into()),
        Err(_) => Err(format!("the handler took longer than {} s", HANDLER_TIMEOUT.as_secs()).into()),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
