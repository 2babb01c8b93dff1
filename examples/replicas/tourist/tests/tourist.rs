//! The Tourist in a cluster in memory.

use greeter_v1::{CountRequest, CreateGreeting, GreeterContract};
use reside::{BoxError, testing::Cluster};

/// How many greetings there are.
async fn greetings(cluster: &Cluster, greeter: &reside::testing::TestReplica) -> Result<usize, BoxError> {
    let ada = cluster.account("ada").await?;
    Ok(ada
        .client::<GreeterContract>(greeter)
        .count(CountRequest {})
        .await?
        .count)
}

#[tokio::test]
async fn greets_once_it_may() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let greeter = cluster.add(greeter::definition(), greeter::run).await?;
    let tourist = cluster.add(tourist::definition(), tourist::run).await?;
    let request = cluster.wait_for_request::<CreateGreeting>(&tourist).await?;
    assert_eq!(greetings(&cluster, &greeter).await?, 0);
    assert_eq!(request.get()?.reason, "the way leads through France");
    cluster
        .approve_request::<CreateGreeting>(&request, &greeter)
        .await?;
    tourist.finished().await?;
    assert_eq!(greetings(&cluster, &greeter).await?, 1);
    Ok(())
}

#[tokio::test]
async fn goes_on_without_french() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let greeter = cluster.add(greeter::definition(), greeter::run).await?;
    let tourist = cluster.add(tourist::definition(), tourist::run).await?;
    let request = cluster.wait_for_request::<CreateGreeting>(&tourist).await?;
    cluster.reject_request(&request, "the way leads around it")?;
    tourist.finished().await?;
    // Started again, it isn't asked about again.
    let tourist = cluster
        .restart(tourist, tourist::definition(), tourist::run)
        .await?;
    tourist.finished().await?;
    assert_eq!(greetings(&cluster, &greeter).await?, 0);
    Ok(())
}
