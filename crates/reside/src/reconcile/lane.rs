//! Carries out the entries of one account, one after the other, and publishes what the account has then.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use jazz::{AccountId, Co, CoRecord, LoadError, Node, Ref};
use tracing::{error, info, warn};

use super::plan::{Place, fault, plan};
use crate::{
    contract::{BoxError, Change, HandlerResult},
    failures::HandlerFailures,
    grants::{GrantTable, PublishedGrants, Source, publish},
    implementation::Implementations,
    rcb::PermissionEntry,
};

/// How long a permission handler may take.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
/// How many entries are loaded at once.
const LOADS_MAX: usize = 16;

/// What reconciliation works on.
pub(crate) struct Context {
    pub node: Node,
    pub permissions: Co<CoRecord<Ref<PermissionEntry>>>,
    pub index: Co<CoRecord<Ref<PublishedGrants>>>,
    pub implementations: Arc<Implementations>,
    pub table: Arc<GrantTable>,
    pub failures: HandlerFailures,
}

/// An entry that is new or gone.
pub(super) struct Discovered {
    pub key: String,
    /// The entry if it is new; nothing if it is gone.
    pub entry: Option<Result<Co<PermissionEntry>, LoadError>>,
}

/// What there is to do for one account.
pub(super) struct Lane {
    account: String,
    pub keys: Vec<String>,
    pub publish: bool,
}

/// What became of it.
pub(super) struct LaneEnd {
    pub account: String,
    pub outcomes: Vec<(String, Outcome)>,
    pub published: Option<Result<(), BoxError>>,
}

/// What became of an entry.
pub(super) enum Outcome {
    /// It can't be understood.
    Ignored,
    /// It is as it should be.
    Settled(Settled),
    /// It has to be tried again.
    Failed(BoxError),
}

/// A permission that is as it should be.
#[derive(Debug)]
pub(super) struct Settled {
    /// What everybody says about it.
    pub entries: Vec<PermissionEntry>,
    /// Alpha's entry has left the control block.
    pub gone: bool,
}

impl Settled {
    fn of(sources: Vec<Source>) -> Self {
        Self {
            gone: sources.iter().any(|source| source.gone),
            entries: sources.into_iter().map(|source| source.entry).collect(),
        }
    }
}

impl Lane {
    pub fn of(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            keys: Vec::new(),
            publish: false,
        }
    }
}

impl Context {
    /// Finds entries that are gone, and loads those that are new.
    pub(super) async fn discover(self: Arc<Self>) -> Vec<Discovered> {
        let present = match self.permissions.entries() {
            Ok(present) => present,
            Err(error) => {
                error!(%error, "the control block can't be read");
                return Vec::new();
            }
        };
        let mut discovered = Vec::new();
        for key in self.table.keys() {
            if !present.contains_key(&key) {
                self.table.mark_gone(&key);
                discovered.push(Discovered { key, entry: None });
            }
        }
        let node = &self.node;
        let new = present
            .into_iter()
            .filter(|(key, entry)| !self.table.has(key, entry.id()));
        let loads = new.map(|(key, entry)| async move {
            Discovered {
                key,
                entry: Some(node.load(&entry).await),
            }
        });
        let loaded: Vec<_> = stream::iter(loads).buffer_unordered(LOADS_MAX).collect().await;
        discovered.extend(loaded);
        discovered
    }

    /// Works a lane off: revocations first, so that what is granted anew isn't taken away again by them.
    pub(super) async fn work_off(self: Arc<Self>, lane: Lane) -> LaneEnd {
        let Lane {
            account,
            mut keys,
            publish: publishing,
        } = lane;
        keys.sort_by_key(|key| !self.is_revocation(key));
        let mut outcomes = Vec::new();
        for key in keys {
            if let Some(outcome) = self.carry_out(&key).await {
                outcomes.push((key, outcome));
            }
        }
        let published = match account.parse::<AccountId>() {
            Ok(account) if publishing => Some(publish(&self.node, &self.index, &self.table, &account).await),
            _ => None,
        };
        LaneEnd {
            account,
            outcomes,
            published,
        }
    }

    fn is_revocation(&self, key: &str) -> bool {
        let now = self.table.clock.now();
        let sources = self.table.sources(key);
        sources.is_ok_and(|sources| sources.iter().all(|source| !source.is_granted(now)))
    }

    /// Brings one permission in order; nothing if it isn't known any more.
    async fn carry_out(&self, key: &str) -> Option<Outcome> {
        let sources = match self.table.sources(key) {
            Ok(sources) if sources.is_empty() => return None,
            Ok(sources) => self.understood(key, sources),
            Err(error) => return Some(Outcome::Failed(error.into())),
        };
        let Some(first) = sources.first() else {
            return Some(Outcome::Ignored);
        };
        let Some(step) = plan(&sources, self.table.clock.now()) else {
            return Some(Outcome::Settled(Settled::of(sources)));
        };
        if let Err(error) = self.call_handler(&first.entry, step.change).await {
            return Some(Outcome::Failed(error));
        }
        for (source, current) in sources.iter().zip(step.marks) {
            let Some(current) = current else { continue };
            info!(key, granted = current.granted, "a permission was carried out");
            let marked = match &source.of_alpha {
                Some(entry) => entry.update(|entry| entry.current = Some(current)),
                None => self.table.users.mark(source.entry.grant(), current),
            };
            if let Err(error) = marked {
                return Some(Outcome::Failed(error.into()));
            }
        }
        // What it is now may differ from what was planned; the change will bring it here again.
        Some(self.table.sources(key).map_or_else(
            |error| Outcome::Failed(error.into()),
            |sources| Outcome::Settled(Settled::of(sources)),
        ))
    }

    /// Leaves out what can't be carried out, and says so.
    fn understood(&self, key: &str, sources: Vec<Source>) -> Vec<Source> {
        let mut understood: Vec<Source> = Vec::with_capacity(sources.len());
        for source in sources {
            let entry = &source.entry;
            let contract = self.implementations.get(&entry.identity);
            let place = Place {
                key,
                implemented: contract.is_some(),
                instance_keys: contract.and_then(|contract| contract.instance_keys(&entry.name)),
            };
            let is_another = understood
                .first()
                .is_some_and(|first| first.entry.grant() != entry.grant());
            let fault =
                fault(entry, &place).or(is_another.then_some("its key is that of another permission"));
            match fault {
                Some(fault) => warn!(key, fault, "an entry of the control block is ignored"),
                None => understood.push(source),
            }
        }
        understood
    }

    /// Calls the handler, which may fail, hang or panic without harm to other entries.
    async fn call_handler(&self, entry: &PermissionEntry, change: Option<Change>) -> HandlerResult {
        let (Some(change), Some(contract)) = (change, self.implementations.get(&entry.identity)) else {
            return Ok(());
        };
        let handler =
            AssertUnwindSafe(contract.carry_out(&entry.name, change, &entry.account)).catch_unwind();
        match tokio::time::timeout(HANDLER_TIMEOUT, handler).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("the handler panicked".into()),
            Err(_) => Err(format!("the handler took longer than {} s", HANDLER_TIMEOUT.as_secs()).into()),
        }
    }
}
