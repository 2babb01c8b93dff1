//! A method that doesn't take the call.

use reside::prelude::*;

#[reside::contract(identity = "ghcr.io/owner/thing.v1", data = Data, en("Thing", "A thing"))]
pub trait Thing {
    #[method(en("Act", "Acts"))]
    async fn act(&self, request: ()) -> RpcResult<()>;
}

fn main() {}
