//! The Visitor in a cluster in memory.

use greeter_v1::{CountRequest, GreeterContract};
use reside::{BoxError, testing::Cluster};

#[tokio::test]
async fn greets_the_world_once_and_leaves() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let greeter = cluster.add(greeter::definition(), greeter::run).await?;
    for visits in 1..=2 {
        let visitor = cluster.add(visitor::definition(), visitor::run).await?;
        visitor.finished().await?;
        let ada = cluster.account("ada").await?;
        assert_eq!(
            ada.client::<GreeterContract>(&greeter)
                .count(CountRequest {})
                .await?
                .count,
            visits
        );
    }
    Ok(())
}

#[tokio::test]
async fn needs_somebody_to_visit() -> Result<(), BoxError> {
    let error = Cluster::new()
        .await?
        .add(visitor::definition(), visitor::run)
        .await
        .err();
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(
        text.contains("nobody implements ghcr.io/exeteres/reside/contracts/greeter.v1"),
        "{text}"
    );
    Ok(())
}
