//! The contract that is called: one method that answers with what it is told.

use reside::prelude::*;

/// Nothing: the contract keeps no data.
#[derive(CoMap, Clone, Debug)]
pub struct NoData {}

impl Migrate for NoData {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self {})
    }
}

/// A text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// The text.
    pub text: String,
}

/// Answers with what it is told.
#[contract(identity = "example.org/reside-bench/contracts/echo.v1", data = NoData, en("Echo", "Answers with what it is told"), ru("Эхо", "Отвечает тем же"))]
pub trait Echo {
    /// Answers with the same text.
    #[method(en("Echo", "Answers with the same text"), ru("Эхо", "Отвечает тем же"))]
    async fn echo(&self, call: &Call, request: Text) -> RpcResult<Text>;
}

/// The implementation.
pub struct Service;

impl Echo for Service {
    async fn echo(&self, _: &Call, request: Text) -> RpcResult<Text> {
        Ok(request)
    }
}

/// What the replica that is called is called.
pub const CALLEE: &str = "callee";

/// A replica that implements the contract.
pub fn callee() -> ReplicaDefinition {
    let info = Info::long_running(CALLEE);
    ReplicaDefinition::new("example.org/reside-bench/replicas/callee", info)
        .en("Callee", "Is called")
        .ru("Вызываемая", "Её вызывают")
        .implements::<EchoContract>("echo")
}

/// A replica that uses it.
pub fn caller() -> ReplicaDefinition {
    let info = Info::long_running("caller");
    ReplicaDefinition::new("example.org/reside-bench/replicas/caller", info)
        .en("Caller", "Calls")
        .ru("Вызывающая", "Она вызывает")
        .requires::<EchoContract>("echo", |requirement| requirement)
}
