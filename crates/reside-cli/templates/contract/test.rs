//! The contract, implemented by a replica of this test in a cluster in memory.

use @crate@::{AddRequest, AddResponse, AddToTotal, @Name@, @Name@Contract};
use reside::{prelude::*, rpc::Code, testing::Cluster};

fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new("localhost/replicas/tested", Info::long_running("tested"))
        .en("Tested", "Implements the contract")
        .ru("Проверяемая", "Реализует контракт")
        .implements::<@Name@Contract>("tested")
}

async fn run(replica: Replica) -> RunResult {
    let contract = replica.implementation::<@Name@Contract>()?;
    replica.serve(@Name@Contract, Service(contract))?;
    replica.shutdown_requested().await;
    Ok(())
}

struct Service(Implementation<@Name@Contract>);

impl @Name@ for Service {
    async fn add(&self, call: &Call, request: AddRequest) -> RpcResult<AddResponse> {
        self.0.require(call, &AddToTotal {})?;
        let data = self.0.data();
        let total = data.get().map_err(RpcError::internal)?.total;
        let total = total.checked_add(request.amount).ok_or_else(|| RpcError::wrong_state("the total is full"))?;
        data.update(|data| data.total = total).map_err(RpcError::internal)?;
        Ok(AddResponse { total })
    }
}

#[tokio::test]
async fn those_who_may_add_to_the_total() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let tested = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let client = ada.client::<@Name@Contract>(&tested);

    let refused = client.add(AddRequest { amount: 1 }).await;
    assert!(matches!(refused, Err(CallError::Refused(error)) if error.code() == Code::NoPermission));
    cluster.grant(&tested, ada.id(), &AddToTotal {}).await?;
    assert_eq!(client.add(AddRequest { amount: 40 }).await?.total, 40);
    assert_eq!(client.add(AddRequest { amount: 2 }).await?.total, 42);
    let data = ada.provider::<@Name@Contract>(&tested).data().await?;
    assert_eq!(data.get()?.total, 42);
    Ok(())
}
