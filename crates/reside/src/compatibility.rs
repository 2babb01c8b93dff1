//! Two versions of a contract's manifest, compared: what a consumer of the older one would miss in the newer one.
//!
//! A consumer writes requests and params, so these may only be widened. It reads responses, so these may only be narrowed.
//! Whatever is added beside that breaks nobody.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::manifest::{ContractManifest, MethodManifest, PermissionManifest};

mod alternatives;
mod schema;

use schema::Flow;

/// One difference between two versions of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it is a part of: ``method `greet` ``.
    pub of: String,
    /// The place in it, as `request/name`; empty if it is the whole.
    pub at: String,
    /// What has changed there.
    pub what: String,
    /// Whether consumers of the older version have to change.
    pub breaks: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.of)?;
        if !self.at.is_empty() {
            write!(f, ", `{}`", self.at)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Compares two versions of a contract's manifest. What breaks consumers of the older one comes first; texts for people
/// are not compared.
pub fn compare(old: &ContractManifest, new: &ContractManifest) -> Vec<Change> {
    let mut changes = Vec::new();
    entries(
        "permission",
        &old.permissions,
        &new.permissions,
        &mut changes,
        permission,
    );
    entries("method", &old.methods, &new.methods, &mut changes, method);
    changes.sort_by_key(|change| !change.breaks);
    changes
}

/// Compares what has a name in both, and lists what has one in only one of them.
fn entries<T>(
    kind: &str,
    old: &IndexMap<String, T>,
    new: &IndexMap<String, T>,
    changes: &mut Vec<Change>,
    compare: fn(&T, &T, &mut Changes<'_>),
) {
    for (name, old) in old {
        let mut changes = Changes {
            of: format!("{kind} `{name}`"),
            all: changes,
        };
        match new.get(name) {
            Some(new) => compare(old, new, &mut changes),
            None => changes.add("", "is removed", true),
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        let mut changes = Changes {
            of: format!("{kind} `{name}`"),
            all: changes,
        };
        changes.add("", "is added", false);
    }
}

/// Collects the changes of one method or permission.
struct Changes<'a> {
    of: String,
    all: &'a mut Vec<Change>,
}

impl Changes<'_> {
    fn add(&mut self, at: impl Into<String>, what: impl Into<String>, breaks: bool) {
        self.all.push(Change {
            of: self.of.clone(),
            at: at.into(),
            what: what.into(),
            breaks,
        });
    }

    fn schemas(&mut self, part: &str, flow: Flow, old: Option<&Value>, new: Option<&Value>) {
        let anything = Value::Bool(true);
        let (old, new) = (old.unwrap_or(&anything), new.unwrap_or(&anything));
        for found in schema::compare(old, new, flow) {
            self.add(format!("{part}{}", found.path), found.what, found.breaks);
        }
    }
}

fn permission(old: &PermissionManifest, new: &PermissionManifest, changes: &mut Changes<'_>) {
    if old.instance_keys != new.instance_keys {
        // They are part of the names by which instances are granted.
        let shown = |keys: &[String]| match keys {
            [] => "none".to_owned(),
            keys => keys.join(", "),
        };
        let what = format!(
            "is {} instead of {}",
            shown(&new.instance_keys),
            shown(&old.instance_keys)
        );
        changes.add("instanceKeys", what, true);
    }
    changes.schemas(
        "params",
        Flow::ConsumerWrites,
        old.params.as_ref(),
        new.params.as_ref(),
    );
}

fn method(old: &MethodManifest, new: &MethodManifest, changes: &mut Changes<'_>) {
    changes.schemas(
        "request",
        Flow::ConsumerWrites,
        old.request.as_ref(),
        new.request.as_ref(),
    );
    changes.schemas(
        "response",
        Flow::ConsumerReads,
        old.response.as_ref(),
        new.response.as_ref(),
    );
}

#[cfg(test)]
mod tests;
