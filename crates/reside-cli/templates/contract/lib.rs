//! What replicas agree on that keep a total: everybody sees it, and whoever may adds to it.

use reside::prelude::*;

/// What consumers can see. The map is public; what is not for everybody belongs into a value with a group of its own.
#[derive(CoMap, Clone, Debug)]
pub struct @Name@Data {
    /// The sum of all that was added.
    pub total: u32,
}

impl Migrate for @Name@Data {
    async fn init(_node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        Ok(Self { total: 0 })
    }
}

/// The right to add to the total.
#[derive(Permission, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[permission(contract = @Name@Contract, name = "total:add",
             en("Add to the total", "Make the total grow"),
             ru("Прибавлять к сумме", "Увеличивать сумму"))]
pub struct AddToTotal {}

impl PermissionHandler for AddToTotal {}

/// What to add.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// How much.
    pub amount: u32,
}

/// It was added.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct AddResponse {
    /// The total now.
    pub total: u32,
}

/// Keeps a total.
#[contract(identity = "@identity@", data = @Name@Data,
           permissions(AddToTotal),
           en("@Title@", "Keeps a total"), ru("@Title@", "Хранит сумму"))]
pub trait @Name@ {
    /// Adds to the total; needs [`AddToTotal`].
    #[method(en("Add", "Adds to the total"), ru("Прибавить", "Прибавляет к сумме"))]
    async fn add(&self, call: &Call, request: AddRequest) -> RpcResult<AddResponse>;
}
