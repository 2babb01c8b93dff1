//! Carries out the entries of one account, one after the other, and publishes what the account has then.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use jazz::{AccountId, Co, CoRecord, LoadError, Node, Ref};
use tracing::{error, info, warn};

use super::plan::{Place, Plan, Step, plan};
use crate::{
    contract::{BoxError, Change, HandlerResult},
    grants::{GrantTable, PublishedGrants, publish},
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
    Settled { entry: Box<PermissionEntry>, gone: bool },
    /// It has to be tried again.
    Failed(BoxError),
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
        let Some((entry, gone)) = self.table.get(key) else {
            return false;
        };
        gone || entry
            .get()
            .is_ok_and(|entry| !entry.expected.is_granted(self.table.clock.now()))
    }

    /// Brings one entry in order; nothing if it isn't known any more.
    async fn carry_out(&self, key: &str) -> Option<Outcome> {
        let (co, gone) = self.table.get(key)?;
        let entry = match co.get() {
            Ok(entry) => entry,
            Err(error) => return Some(Outcome::Failed(error.into())),
        };
        let contract = self.implementations.get(&entry.identity);
        let instance_keys = contract.and_then(|contract| contract.instance_keys(&entry.name));
        let place = Place {
            key,
            gone,
            implemented: contract.is_some(),
            instance_keys,
        };
        let Step { change, current } = match plan(&entry, &place, self.table.clock.now()) {
            Plan::Settled => {
                return Some(Outcome::Settled {
                    entry: Box::new(entry),
                    gone,
                });
            }
            Plan::Ignored(fault) => {
                warn!(key, fault, "an entry of the control block is ignored");
                return Some(Outcome::Ignored);
            }
            Plan::CarryOut(step) => *step,
        };
        if let Err(error) = self.call_handler(&entry, change).await {
            return Some(Outcome::Failed(error));
        }
        info!(key, granted = current.granted, "a permission was carried out");
        if let Err(error) = co.update(|entry| entry.current = Some(current)) {
            return Some(Outcome::Failed(error.into()));
        }
        // What it is now may differ from what was planned; the change will bring it here again.
        Some(co.get().map_or_else(
            |error| Outcome::Failed(error.into()),
            |entry| Outcome::Settled {
                entry: Box::new(entry),
                gone,
            },
        ))
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
