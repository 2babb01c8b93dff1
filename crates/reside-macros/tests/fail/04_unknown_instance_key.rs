//! An instance key that isn't a param.

use reside::prelude::*;

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone)]
#[permission(contract = Contract, name = "thing:act", instance(colour), en("Act", "Acts"))]
pub struct Act {
    pub color: String,
}

fn main() {}
