//! A replica to learn from: asks for a permission while it runs, waits for the answer, and lives with a refusal.

use greeter_v1::{CreateGreeting, GreetRequest, GreeterContract};
use reside::PermissionRequestError;
use reside::prelude::*;
use tracing::info;

/// Describes the replica. It asks for nothing in advance: which language it needs turns out on the way.
pub fn definition() -> ReplicaDefinition {
    ReplicaDefinition::new(
        "ghcr.io/exeteres/reside/replicas/tourist",
        Info::oneshot("tourist"),
    )
    .en("Tourist", "Asks whether it may greet in French")
    .ru(
        "Реплика-турист",
        "Спрашивает, можно ли поздороваться по-французски",
    )
    .requires::<GreeterContract>("greeter", |greeter| greeter)
}

/// Asks for French, and greets if an administrator agrees.
pub async fn run(replica: Replica) -> RunResult {
    let greeter = replica.requirement::<GreeterContract>("greeter")?;
    let french = CreateGreeting {
        language: "fr".to_owned(),
    };
    let request = replica
        .request_permission(&greeter, &french, "the way leads through France")
        .await?;
    // This may take days. Started again, the replica finds the request, and the answer to it.
    let answer = tokio::select! {
        answer = request.granted() => answer,
        () = replica.shutdown_requested() => return Ok(()),
    };
    match answer {
        Ok(()) => {}
        Err(PermissionRequestError::Refused { reason, .. }) => {
            info!(reason, "no French, then");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let request = GreetRequest {
        name: "tout le monde".to_owned(),
        language: french.language,
    };
    let greeting = greeter.client().greet(request).await?;
    info!(text = greeting.text, "greeted");
    Ok(())
}
