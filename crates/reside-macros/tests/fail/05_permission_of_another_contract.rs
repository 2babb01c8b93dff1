//! A replica asks a contract for a permission that another contract defines.

use reside::prelude::*;

#[derive(CoMap, Clone, Debug)]
pub struct Data {
    pub name: String,
}

impl Migrate for Data {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self { name: String::new() })
    }
}

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone)]
#[permission(contract = OneContract, name = "thing:act", en("Act", "Acts"))]
pub struct Act {}

impl PermissionHandler for Act {}

#[reside::contract(identity = "ghcr.io/owner/one.v1", data = Data, permissions(Act), en("One", "One"))]
pub trait One {}

#[reside::contract(identity = "ghcr.io/owner/other.v1", data = Data, en("Other", "Other"))]
pub trait Other {}

fn main() {
    let info = Info::oneshot("user");
    let _ = ReplicaDefinition::new("ghcr.io/owner/user", info).requires::<OtherContract>("other", |r| r.permission(&Act {}));
}
