//! Decides what has to happen to one permission of a control block. Pure: no clock, no I/O.

use jazz::Timestamp;

use crate::{
    contract::Change,
    grants::Source,
    permission::instance_id,
    rcb::{Current, PermissionEntry},
};

/// What to do about a permission.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// What to call the handler for; nothing if only `current` is to be set.
    pub change: Option<Change>,
    /// What `current` is to be then, for each source; nothing where it is that already.
    pub marks: Vec<Option<Current>>,
}

/// Where an entry was found, and what is known about its permission.
pub(crate) struct Place<'a> {
    /// Its key in the control block.
    pub key: &'a str,
    /// The contract is implemented here.
    pub implemented: bool,
    /// The permission's instance keys; nothing if the contract has no such permission.
    pub instance_keys: Option<&'a [&'a str]>,
}

/// Decides what to do about one permission, which is granted if any source says so, with the params of the first that
/// does; nothing if everything is as it should be. All sources speak of the same permission.
pub(crate) fn plan(sources: &[Source], now: Timestamp) -> Option<Step> {
    let marks: Vec<_> = sources.iter().map(|source| mark(source, now)).collect();
    if marks.iter().all(Option::is_none) {
        return None;
    }
    let wanted = sources.iter().find(|source| source.is_granted(now));
    let wanted = wanted.map(|source| &source.entry.expected.params);
    let granted = sources.iter().filter_map(|source| source.entry.current.as_ref());
    let granted = granted
        .filter(|current| current.granted)
        .map(|current| &current.params)
        .next();
    let change = match (granted, wanted) {
        (None, Some(new)) => Some(Change::Grant(new.clone())),
        (Some(old), None) => Some(Change::Revoke(old.clone())),
        (Some(old), Some(new)) if old != new => Some(Change::Update {
            old: old.clone(),
            new: new.clone(),
        }),
        _ => None,
    };
    Some(Step { change, marks })
}

/// What `current` of a source is to be, if it isn't that already.
fn mark(source: &Source, now: Timestamp) -> Option<Current> {
    let granted = source.is_granted(now);
    let params = &source.entry.expected.params;
    let is_so = source
        .entry
        .current
        .as_ref()
        .is_some_and(|current| current.granted == granted && (!granted || current.params == *params));
    (!is_so).then(|| Current {
        granted,
        params: params.clone(),
    })
}

/// Returns why an entry can't be carried out.
pub(crate) fn fault(entry: &PermissionEntry, place: &Place<'_>) -> Option<&'static str> {
    if entry.key() != place.key {
        return Some("its key doesn't fit its content");
    }
    if !place.implemented {
        return Some("the contract isn't implemented here");
    }
    let Some(instance_keys) = place.instance_keys else {
        return Some("the contract has no such permission");
    };
    // A revocation may come without params: the key says which instance is meant, and `current` has the params.
    let instance = instance_id(instance_keys, &entry.expected.params);
    (entry.expected.granted && instance != entry.instance_id).then_some("its instance doesn't fit its params")
}
