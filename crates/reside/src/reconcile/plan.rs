//! Decides what has to happen to one entry of a control block. Pure: no clock, no I/O.

use jazz::Timestamp;

use crate::{
    contract::Change,
    permission::instance_id,
    rcb::{Current, PermissionEntry},
};

/// What has to happen to an entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Nothing: it is as it should be.
    Settled,
    /// It can't be understood.
    Ignored(&'static str),
    /// It is to be carried out.
    CarryOut(Box<Step>),
}

/// What to do about an entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// What to call the handler for; nothing if only `current` is to be set.
    pub change: Option<Change>,
    /// What `current` is to be then.
    pub current: Current,
}

/// Where an entry was found, and what is known about its permission.
pub(crate) struct Place<'a> {
    /// Its key in the control block.
    pub key: &'a str,
    /// It has left the control block, which counts as revoked.
    pub gone: bool,
    /// The contract is implemented here.
    pub implemented: bool,
    /// The permission's instance keys; nothing if the contract has no such permission.
    pub instance_keys: Option<&'a [&'a str]>,
}

pub(crate) fn plan(entry: &PermissionEntry, place: &Place<'_>, now: Timestamp) -> Plan {
    if let Some(fault) = fault(entry, place) {
        return Plan::Ignored(fault);
    }
    let granted = !place.gone && entry.expected.is_granted(now);
    let params = entry.expected.params.clone();
    let change = match &entry.current {
        Some(current) if current.granted && !granted => Some(Change::Revoke(current.params.clone())),
        Some(current) if current.granted && current.params != params => Some(Change::Update {
            old: current.params.clone(),
            new: params.clone(),
        }),
        Some(current) if current.granted == granted => return Plan::Settled,
        _ if granted => Some(Change::Grant(params.clone())),
        _ => None,
    };
    let current = Current { granted, params };
    Plan::CarryOut(Box::new(Step { change, current }))
}

/// Returns why an entry can't be carried out.
fn fault(entry: &PermissionEntry, place: &Place<'_>) -> Option<&'static str> {
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
