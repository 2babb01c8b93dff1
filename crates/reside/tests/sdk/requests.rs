//! Permissions that a replica asks for while it runs.

use std::time::Duration;

use reside::{BoxError, PermissionRequestError, prelude::*, requests::RequestStatus, testing::Cluster};
use tokio::sync::mpsc;

use crate::support::*;

fn asking() -> ReplicaDefinition {
    ReplicaDefinition::new("ghcr.io/exeteres/reside/replicas/asking", Info::oneshot("asking"))
        .en("Asking", "Asks for a door")
        .requires::<DoorsContract>("doors", |doors| doors)
}

type Seen = mpsc::UnboundedSender<Result<String, PermissionRequestError>>;

/// Asks for the red door and opens it; tells what came of it.
async fn ask(replica: Replica, seen: Seen) -> RunResult {
    let doors = replica.requirement::<DoorsContract>("doors")?;
    let red = OpenDoor::new("red");
    let request = replica.request_permission(&doors, &red, "somebody waits").await?;
    let granted = tokio::select! {
        granted = request.granted() => granted,
        () = replica.shutdown_requested() => return Ok(()),
    };
    let came = match granted {
        Ok(()) => Ok(doors.client().open(red).await?),
        Err(error) => Err(error),
    };
    Ok(seen.send(came)?)
}

#[tokio::test]
async fn a_replica_waits_until_its_request_is_approved() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let (tell, mut seen) = mpsc::unbounded_channel();
    let asks = cluster
        .add(asking(), |replica| ask(replica, tell.clone()))
        .await?;
    let request = cluster.wait_for_request::<OpenDoor>(&asks).await?;
    let asked = request.get()?;
    assert_eq!(
        (asked.requirement.as_str(), asked.reason.as_str()),
        ("doors", "somebody waits")
    );
    assert_eq!(asked.status, RequestStatus::Pending);
    assert!(seen.try_recv().is_err(), "it waits");

    // Stopped and started, it finds its request.
    asks.stop().await?;
    let asks = cluster
        .restart(asks, asking(), |replica| ask(replica, tell.clone()))
        .await?;
    cluster.approve_request::<OpenDoor>(&request, &doors).await?;
    assert_eq!(seen.recv().await.ok_or("nothing came")??, "doors opened red");
    asks.finished().await?;
    assert_eq!(
        cluster.wait_for_request::<OpenDoor>(&asks).await?.id(),
        request.id()
    );
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_told_and_stays() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    cluster.add(definition(), run).await?;
    let (tell, mut seen) = mpsc::unbounded_channel();
    let mut asks = cluster
        .add(asking(), |replica| ask(replica, tell.clone()))
        .await?;
    let request = cluster.wait_for_request::<OpenDoor>(&asks).await?;
    cluster.reject_request(&request, "the red door stays shut")?;
    for _ in 0..2 {
        let refused = seen
            .recv()
            .await
            .ok_or("nothing came")?
            .err()
            .ok_or("it was granted")?;
        assert_eq!(
            refused.to_string(),
            "the permission ghcr.io/exeteres/reside/contracts/doors.v1:door:open was refused: the red door stays shut"
        );
        asks.finished().await?;
        asks = cluster
            .restart(asks, asking(), |replica| ask(replica, tell.clone()))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn nobody_is_asked_for_what_is_granted_already() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let (tell, mut seen) = mpsc::unbounded_channel();
    let asks = cluster
        .add(asking(), |replica| async move {
            let doors = replica.requirement::<DoorsContract>("doors")?;
            let red = OpenDoor::new("red");
            doors
                .provider()?
                .wait_for_permission(&red, Duration::from_secs(10))
                .await?;
            let request = replica.request_permission(&doors, &red, "once more").await?;
            request.granted().await?;
            // Other params are another permission to ask for.
            let more = replica
                .request_permission(&doors, &red.times(3), "more of it")
                .await?;
            let asked = more.request()?.map(|request| request.params);
            more.granted().await?;
            Ok(tell.send((request.request()?.is_none(), asked))?)
        })
        .await?;
    cluster
        .grant(&doors, asks.account_id(), &OpenDoor::new("red"))
        .await?;
    let request = cluster.wait_for_request::<OpenDoor>(&asks).await?;
    cluster.approve_request::<OpenDoor>(&request, &doors).await?;
    let (was_there, asked) = seen.recv().await.ok_or("nothing came")?;
    assert!(was_there);
    assert_eq!(asked, Some(OpenDoor::new("red").times(3).params()?));
    assert_eq!(
        events(doors.replica()).await?,
        ["granted red 0", "updated red 0 3"]
    );
    Ok(())
}
