//! The replica in a cluster in memory.

use @crate@::{Memory, definition, run};
use reside::{prelude::*, testing::Cluster};

#[tokio::test]
async fn remembers_how_often_it_was_started() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let first = cluster.add(definition(), run).await?;
    let started = async |replica: &Replica, times| -> Result<(), BoxError> {
        let memory = replica.root::<Memory>().await?;
        let mut changes = memory.subscribe();
        let reached = changes.wait_for(|memory: &Memory| memory.starts == times).await;
        reached.ok_or("the replica has ended")??;
        Ok(())
    };
    started(first.replica(), 1).await?;
    let second = cluster.restart(first, definition(), run).await?;
    started(second.replica(), 2).await?;
    second.stop().await
}
