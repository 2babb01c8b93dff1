//! Requirements: who serves them, calling them, and noticing that they move.

use reside::{BoxError, RequirementError, prelude::*, testing::Cluster};

use crate::support::{DoorsContract, OpenDoor, definition, run};

fn visitor(
    requirement: fn(reside::RequirementBuilder<DoorsContract>) -> reside::RequirementBuilder<DoorsContract>,
) -> ReplicaDefinition {
    ReplicaDefinition::new(
        "ghcr.io/exeteres/reside/replicas/visitor",
        Info::long_running("visitor"),
    )
    .en("Visitor", "Opens doors")
    .requires::<DoorsContract>("doors", requirement)
}

async fn wait(replica: Replica) -> RunResult {
    replica.shutdown_requested().await;
    Ok(())
}

#[tokio::test]
async fn the_permissions_asked_for_are_there_when_waited_for() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    cluster.add(definition(), run).await?;
    let own_door = OpenDoor::new("door-of-{replica.name}");
    let definition = visitor(|doors| doors.permission(&OpenDoor::new("door-of-{replica.name}")));
    assert_eq!(
        definition.manifest()?.requirements["doors"].permissions[0].params,
        own_door.params()?
    );
    let visitor = cluster
        .add(definition, |replica| async move {
            let doors = replica.requirement::<DoorsContract>("doors")?;
            doors.wait_until_granted().await?;
            let door = OpenDoor::new(&format!("door-of-{}", replica.name()));
            assert!(doors.check_permission(&door).await?);
            assert_eq!(
                doors.permission_instances::<OpenDoor>().await?,
                std::slice::from_ref(&door)
            );
            assert_eq!(doors.client().open(door).await?, "doors opened door-of-visitor");
            Ok(())
        })
        .await?;
    visitor.finished().await
}

#[tokio::test]
async fn a_requirement_may_be_served_by_several() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    cluster.add(definition(), run).await?;
    cluster.add(definition(), run).await?;
    let one = cluster
        .add(visitor(|doors| doors.permission(&OpenDoor::new("red"))), wait)
        .await?;
    assert_eq!(
        one.replica()
            .requirement::<DoorsContract>("doors")?
            .accounts()
            .len(),
        1
    );
    let all = cluster
        .add(
            visitor(|doors| doors.multiple().permission(&OpenDoor::new("red"))),
            wait,
        )
        .await?;
    let doors = all.replica().requirement::<DoorsContract>("doors")?;
    doors.wait_until_granted().await?;
    let mut opened = Vec::new();
    for client in doors.clients() {
        opened.push(client.open(OpenDoor::new("red")).await?);
    }
    assert_eq!(opened, ["doors opened red", "doors-1 opened red"]);
    Ok(())
}

#[tokio::test]
async fn an_optional_requirement_may_be_served_by_nobody() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let visitor = cluster.add(visitor(|doors| doors.optional()), wait).await?;
    let doors = visitor.replica().requirement::<DoorsContract>("doors")?;
    assert!(doors.accounts().is_empty());
    assert!(matches!(
        doors.provider(),
        Err(RequirementError::NotServed { .. })
    ));
    assert!(matches!(
        doors.client().open(OpenDoor::new("red")).await,
        Err(CallError::Local(_))
    ));
    let unknown = visitor.replica().requirement::<DoorsContract>("windows");
    assert!(matches!(unknown, Err(RequirementError::NotDefined { .. })));
    Ok(())
}

#[tokio::test]
async fn a_client_follows_a_replica_that_moves() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    let client = ada.client::<DoorsContract>(&doors);
    client.open(OpenDoor::new("red")).await?;
    let profile = ada.connector().profile(doors.account_id()).await?;
    let before = profile.get()?.endpoints;
    let _doors = cluster.restart(doors, definition(), run).await?;
    profile
        .subscribe()
        .wait_for(|profile| profile.endpoints != before)
        .await;
    assert_eq!(client.open(OpenDoor::new("red")).await?, "doors opened red");
    Ok(())
}
