//! A replica to learn from: visits whoever implements `greeter.v1`, and leaves.

use greeter_v1::{CreateGreeting, GreetRequest, GreeterContract, ReadGreetings};
use reside::prelude::*;
use tracing::info;

/// Describes the replica.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(
        "ghcr.io/exeteres/reside/replicas/visitor",
        Info::oneshot("visitor"),
    )
    .en("Visitor", "Greets the world once")
    .ru("Реплика-гость", "Один раз приветствует мир")
    .requires::<GreeterContract>("greeter", |greeter| {
        greeter
            .permission(&CreateGreeting {
                language: "en".to_owned(),
            })
            .permission(&ReadGreetings {})
    })
}

/// Greets the world in English, is refused French, and logs the greetings so far.
pub async fn run(replica: Replica) -> RunResult {
    let greeter = replica.requirement::<GreeterContract>("greeter")?;
    greeter.wait_until_granted().await?;
    for language in ["en", "fr"] {
        let request = GreetRequest {
            name: "World".to_owned(),
            language: language.to_owned(),
        };
        match greeter.client().greet(request).await {
            Ok(response) => info!(language, text = response.text, count = response.count, "greeted"),
            Err(CallError::Refused(error)) => info!(language, %error, "refused"),
            Err(error) => return Err(error.into()),
        }
    }
    let greetings = replica
        .node()
        .load(&greeter.data().await?.get()?.greetings)
        .await?;
    for greeting in greetings.items()? {
        info!(text = greeting.text, language = greeting.language, by = %greeting.by, at = %greeting.at, "a greeting");
    }
    Ok(())
}
