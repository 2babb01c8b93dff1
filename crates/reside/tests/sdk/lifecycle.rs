//! Starting and stopping: data made once and migrated each time, private roots, calls before, during and after.

use std::time::Duration;

use reside::{BoxError, Contract, prelude::*, testing::Cluster};
use tokio::sync::oneshot;

use crate::support::{DoorsContract, OpenDoor, Service, WaitRequest, definition, run};

#[derive(CoMap, Clone, Debug)]
struct Diary {
    lines: Vec<String>,
}

impl Migrate for Diary {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self { lines: Vec::new() })
    }
}

#[tokio::test]
async fn data_are_made_once_and_migrated_at_each_start() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let first = doors.replica().implementation::<DoorsContract>()?.data().clone();
    assert_eq!(first.get()?.migrations, 1);
    let root = doors.replica().root::<Diary>().await?;
    root.update(|diary| diary.lines.push("dear diary".to_owned()))?;
    let published = cluster
        .account("ada")
        .await?
        .provider::<DoorsContract>(&doors)
        .data()
        .await?;
    assert_eq!(published.id(), first.id());

    let doors = cluster.restart(doors, definition(), run).await?;
    let second = doors.replica().implementation::<DoorsContract>()?.data().clone();
    assert_eq!((second.id(), second.get()?.migrations), (first.id(), 2));
    assert_eq!(
        doors.replica().root::<Diary>().await?.get()?.lines,
        ["dear diary"]
    );
    let stranger = cluster.account("bob").await?;
    assert!(stranger.node().load(&root.reference()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_profile_says_who_and_where_the_replica_is() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let profile = ada.connector().profile(doors.account_id()).await?.get()?;
    assert_eq!(
        (profile.name.as_str(), profile.replica_id),
        ("doors", Some(doors.replica().id()))
    );
    let endpoints = profile.endpoints.ok_or("no endpoints")?;
    assert!(
        endpoints
            .internal
            .is_some_and(|endpoint| endpoint.starts_with("memory://"))
    );
    let contracts = ada.node().load(&profile.contracts.ok_or("no contracts")?).await?;
    assert_eq!(contracts.keys()?, [DoorsContract::IDENTITY]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_a_replica_that_starts() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let (serve, may_serve) = oneshot::channel::<()>();
    let doors = cluster
        .add(definition(), |replica| async move {
            may_serve.await?;
            run(replica).await
        })
        .await?;
    let ada = cluster.account("ada").await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    let client = ada.client::<DoorsContract>(&doors);
    // Not idempotent: nobody knows whether it was carried out, so it isn't tried again.
    assert!(client.wait(WaitRequest { seconds: 0 }).await.is_err());
    serve.send(()).map_err(|()| "the replica is gone")?;
    assert_eq!(client.open(OpenDoor::new("red")).await?, "doors opened red");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_answered_before_the_replica_stops() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let (started, waiting) = oneshot::channel();
    let doors = cluster
        .add(definition(), |replica| async move {
            let doors = replica.implementation::<DoorsContract>()?;
            let service = Service {
                doors,
                name: replica.name().to_owned(),
            };
            replica.serve(DoorsContract, service)?;
            started.send(()).map_err(|()| "nobody waits")?;
            replica.shutdown_requested().await;
            Ok(())
        })
        .await?;
    waiting.await?;
    let ada = cluster.account("ada").await?;
    let client = ada.client::<DoorsContract>(&doors);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.wait(WaitRequest { seconds: 5 }).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = tokio::spawn(async move { doors.stop().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        client.wait(WaitRequest { seconds: 0 }).await.is_err(),
        "no new calls"
    );
    assert_eq!(call.await??, 5);
    stopped.await?
}

#[tokio::test(start_paused = true)]
async fn own_code_that_does_not_end_is_cut_off() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), |_| std::future::pending()).await?;
    doors.stop().await
}

#[tokio::test]
async fn what_own_code_ends_with_is_what_the_replica_ends_with() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let failing = cluster
        .add(definition(), |_| async { Err("out of doors".into()) })
        .await?;
    assert_eq!(
        failing.finished().await.map_err(|error| error.to_string()),
        Err("out of doors".to_owned())
    );
    let panicking = cluster
        .add(definition(), |_| async { panic!("no doors") })
        .await?;
    assert!(panicking.finished().await.is_err());
    Ok(())
}

#[tokio::test]
async fn only_what_is_defined_can_be_implemented() -> Result<(), BoxError> {
    let definition = || {
        ReplicaDefinition::new("ghcr.io/exeteres/reside/replicas/other", Info::oneshot("other"))
            .en("Other", "")
    };
    let cluster = Cluster::new().await?;
    let other = cluster
        .add(definition(), |replica| async move {
            assert!(replica.implementation::<DoorsContract>().is_err());
            Ok(())
        })
        .await?;
    other.finished().await?;
    let twice = definition()
        .implements::<DoorsContract>("one")
        .implements::<DoorsContract>("two");
    assert!(twice.manifest().is_err());
    Ok(())
}
