//! A risk that there is not.

use reside::prelude::*;

#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone)]
#[permission(contract = Contract, name = "thing:act", risk = dangerous, en("Act", "Acts"))]
pub struct Act {}

fn main() {}
