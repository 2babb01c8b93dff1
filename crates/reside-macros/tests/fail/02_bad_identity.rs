//! An identity with a tag.

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

#[reside::contract(identity = "ghcr.io/owner/thing.v1:latest", data = Data, en("Thing", "A thing"))]
pub trait Thing {}

fn main() {}
