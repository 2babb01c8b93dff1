//! A method without texts.

use reside::prelude::*;

#[reside::contract(identity = "ghcr.io/owner/thing.v1", data = Data, en("Thing", "A thing"))]
pub trait Thing {
    async fn act(&self, call: &Call, request: ()) -> RpcResult<()>;
}

fn main() {}
