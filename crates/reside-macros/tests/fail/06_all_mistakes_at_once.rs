//! Several mistakes are reported together.

use reside::prelude::*;

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone)]
#[permission(contract = Contract, name = "Thing Act", instance(colour))]
pub struct Act {
    pub main_color: String,
}

fn main() {}
