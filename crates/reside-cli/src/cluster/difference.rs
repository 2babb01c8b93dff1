//! What a new version of a replica does differently from another one, as far as manifests tell.

use std::collections::BTreeSet;

use reside::manifest::ReplicaManifest;
use serde::Serialize;

use crate::ui::Table;

/// What has come and what has gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The version it is compared with.
    pub version: u32,
    /// The image is the very same.
    pub same_image: bool,
    /// Only in the new version.
    pub added: Vec<Part>,
    /// Only in the other one.
    pub dropped: Vec<Part>,
}

/// A part of a manifest that an administrator cares for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "part")]
pub enum Part {
    /// A contract that it implements.
    Implements {
        /// Identity of the contract.
        contract: String,
    },
    /// A contract that it uses.
    Uses {
        /// Identity of the contract.
        contract: String,
    },
    /// A permission that it asks for.
    Permission {
        /// Identity of the contract.
        contract: String,
        /// Its name, with the instance if it has instances.
        permission: String,
    },
}

impl Part {
    fn cells(&self) -> [String; 3] {
        match self {
            Self::Implements { contract } => ["implements".to_owned(), contract.clone(), String::new()],
            Self::Uses { contract } => ["uses".to_owned(), contract.clone(), String::new()],
            Self::Permission { contract, permission } => {
                ["permission".to_owned(), contract.clone(), permission.clone()]
            }
        }
    }
}

impl Difference {
    /// Compares a new manifest with that of a version.
    pub fn from(version: u32, same_image: bool, old: &ReplicaManifest, new: &ReplicaManifest) -> Self {
        let (old, new) = (parts(old), parts(new));
        Self {
            version,
            same_image,
            added: new.difference(&old).cloned().collect(),
            dropped: old.difference(&new).cloned().collect(),
        }
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let nothing = match self.same_image {
            true => "None: it is the same image",
            false => "Nothing but the program",
        };
        let mut table = Table::new(["CHANGE", "PART", "CONTRACT", "PERMISSION"], nothing);
        for (change, parts) in [("added", &self.added), ("dropped", &self.dropped)] {
            for [part, contract, permission] in parts.iter().map(Part::cells) {
                table.row([change.to_owned(), part, contract, permission]);
            }
        }
        table
    }
}

fn parts(manifest: &ReplicaManifest) -> BTreeSet<Part> {
    let implements = manifest.implementations.values().map(|one| Part::Implements {
        contract: one.identity.to_string(),
    });
    let uses = manifest.requirements.values().map(|one| Part::Uses {
        contract: one.identity.to_string(),
    });
    let permissions = manifest.requirements.values().flat_map(|one| {
        one.permissions.iter().map(|permission| Part::Permission {
            contract: one.identity.to_string(),
            permission: match (&permission.instance_id, permission.params.is_empty()) {
                (Some(instance), _) => format!("{}:{instance}", permission.name),
                (None, true) => permission.name.clone(),
                (None, false) => {
                    let params = serde_json::Value::from(permission.params.clone());
                    format!("{} {params}", permission.name)
                }
            },
        })
    });
    implements.chain(uses).chain(permissions).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(requirements: Value) -> ReplicaManifest {
        let manifest = json!({
            "type": "replica",
            "identity": "ghcr.io/a/replicas/b",
            "info": { "name": "b", "class": "long-running", "exclusive": true, "scalable": true },
            "displayInfo": { "en": { "title": "B", "description": "" } },
            "implementations": {},
            "requirements": requirements,
        });
        ReplicaManifest::parse(manifest.to_string().as_bytes()).unwrap()
    }

    fn asking(permissions: Value) -> ReplicaManifest {
        manifest(json!({ "c": { "identity": "ghcr.io/a/contracts/c.v1", "permissions": permissions } }))
    }

    #[test]
    fn permissions_and_contracts_come_and_go() {
        let none = manifest(json!({}));
        let read = asking(json!([{ "name": "read", "params": {} }]));
        let write = asking(json!([{ "name": "write", "instanceId": "x", "params": { "key": "x" } }]));
        let contract = "ghcr.io/a/contracts/c.v1".to_owned();
        let permission = |permission: &str| Part::Permission {
            contract: contract.clone(),
            permission: permission.to_owned(),
        };
        let difference = Difference::from(1, false, &read, &write);
        assert_eq!(difference.added, [permission("write:x")]);
        assert_eq!(difference.dropped, [permission("read")]);
        let difference = Difference::from(1, false, &none, &read);
        let uses = Part::Uses {
            contract: contract.clone(),
        };
        assert_eq!(difference.added, [uses, permission("read")]);
        assert_eq!(Difference::from(1, true, &read, &read).added, []);
    }
}
