//! A replica to learn from: implements `greeter.v1` in three languages.

use greeter_v1::{
    CountRequest, CountResponse, CreateGreeting, GreetRequest, GreetResponse, Greeter, GreeterContract,
    Greeting,
};
use reside::prelude::*;

/// Describes the replica.
pub fn definition() -> ReplicaDefinition {
    let info = Info::long_running("greeter").exclusive().scalable();
    ReplicaDefinition::new("ghcr.io/exeteres/reside/replicas/greeter", info)
        .en("Greeter", "Greets people in English, Russian and French")
        .ru(
            "Приветливая реплика",
            "Приветствует людей по-английски, по-русски и по-французски",
        )
        .implements::<GreeterContract>("greeter")
}

/// Serves the contract until the replica shall stop.
pub async fn run(replica: Replica) -> RunResult {
    let contract = replica.implementation::<GreeterContract>()?;
    let greetings = replica.node().load(&contract.data().get()?.greetings).await?;
    replica.serve(GreeterContract, Service { contract, greetings })?;
    replica.shutdown_requested().await;
    Ok(())
}

struct Service {
    contract: Implementation<GreeterContract>,
    greetings: Co<CoList<Greeting>>,
}

impl Greeter for Service {
    async fn greet(
        &self,
        call: &Call,
        GreetRequest { name, language }: GreetRequest,
    ) -> RpcResult<GreetResponse> {
        self.contract.require(
            call,
            &CreateGreeting {
                language: language.clone(),
            },
        )?;
        let text = match language.as_str() {
            "en" => format!("Hello, {name}!"),
            "ru" => format!("Привет, {name}!"),
            "fr" => format!("Bonjour, {name} !"),
            _ => return Err(RpcError::not_found(format!("nobody here speaks `{language}`"))),
        };
        let (by, at) = (call.made_by().clone(), Timestamp::now());
        let greeting = Greeting {
            text: text.clone(),
            language,
            by,
            at,
        };
        self.greetings.push(&greeting).map_err(RpcError::internal)?;
        Ok(GreetResponse {
            text,
            count: self.len()?,
        })
    }

    async fn count(&self, _call: &Call, _request: CountRequest) -> RpcResult<CountResponse> {
        Ok(CountResponse { count: self.len()? })
    }
}

impl Service {
    fn len(&self) -> RpcResult<usize> {
        self.greetings.len().map_err(RpcError::internal)
    }
}
