//! From one version to the next, and how versions are doing: the test plays the sentinel.

use alpha_v1::{CreateLoadRequest, VersionStatus};
use kubernetes_sentinel_v1::{Kind, ObjectStatus};
use reside::prelude::*;
use serde_json::{Value, json};

use crate::images::*;
use crate::support::*;

fn running() -> Value {
    json!({ "replicas": 1, "readyReplicas": 1, "pods": [{ "restartCount": 0 }] })
}

fn starting() -> Value {
    json!({ "replicas": 1, "readyReplicas": 0, "pods": [{ "restartCount": 0 }] })
}

fn crashing(restarts: u32) -> Value {
    let waiting = json!({ "reason": "CrashLoopBackOff", "message": "exit status: 1" });
    json!({ "replicas": 0, "readyReplicas": 0, "pods": [{ "restartCount": restarts, "waiting": waiting }] })
}

fn down() -> Value {
    json!({ "replicas": 0, "readyReplicas": 0, "pods": [] })
}

/// A cluster with a replica called `server`, whose first version runs, and whose second was just approved.
async fn updating(scalable: bool) -> (World, Alpha) {
    let (world, alpha) = cluster().await;
    let mut info = Info::long_running("server").exclusive();
    info.scalable = scalable;
    let image = world.images.publish(&replica(GREETER, info));
    alpha.load(&image).await;
    assert_eq!(alpha.version(3, 1).await.status, VersionStatus::Unknown);
    alpha.report(Kind::Deployment, "server-1", starting()).await;
    assert_eq!(alpha.version(3, 1).await.status, VersionStatus::Starting);
    alpha.report(Kind::Deployment, "server-1", running()).await;
    assert_eq!(alpha.version(3, 1).await.status, VersionStatus::Running);
    alpha.load(&image).await;
    (world, alpha)
}

async fn scales(alpha: &Alpha) -> [Option<u64>; 2] {
    [alpha.scale("server-1").await, alpha.scale("server-2").await]
}

async fn statuses(alpha: &Alpha) -> [VersionStatus; 2] {
    [alpha.version(3, 1).await.status, alpha.version(3, 2).await.status]
}

#[tokio::test(start_paused = true)]
async fn a_scalable_replica_serves_all_the_time() {
    use VersionStatus::*;
    let (_world, alpha) = updating(true).await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
    alpha.report(Kind::Deployment, "server-2", starting()).await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Starting]);
    alpha.report(Kind::Deployment, "server-2", running()).await;
    assert_eq!(scales(&alpha).await, [Some(0), Some(1)]);
    assert_eq!(statuses(&alpha).await, [Stopping, Running]);
    alpha.report(Kind::Deployment, "server-1", down()).await;
    assert_eq!(statuses(&alpha).await, [Stopped, Running]);

    // Going back is a rollout too.
    alpha.engine.rollback(3, None).await.unwrap();
    alpha.settle().await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
    alpha.report(Kind::Deployment, "server-1", running()).await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(0)]);
    assert_eq!(statuses(&alpha).await, [Running, Stopping]);
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_never_gets_ready_leaves_the_old_one_serving() {
    use VersionStatus::*;
    let (_world, alpha) = updating(true).await;
    alpha.report(Kind::Deployment, "server-2", crashing(1)).await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Starting]);
    alpha.report(Kind::Deployment, "server-2", crashing(9)).await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Error]);
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
    let why = alpha.version(3, 2).await.error_message.unwrap();
    assert_eq!(why, "CrashLoopBackOff: exit status: 1");
    // Between two crashes it looks as if it were starting.
    alpha
        .report(
            Kind::Deployment,
            "server-2",
            json!({ "replicas": 1, "pods": [{ "restartCount": 10 }] }),
        )
        .await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Error]);
    // It may yet come.
    alpha.report(Kind::Deployment, "server-2", running()).await;
    assert_eq!(statuses(&alpha).await, [Stopping, Running]);
    assert_eq!(alpha.version(3, 2).await.error_message, None);
}

#[tokio::test(start_paused = true)]
async fn a_version_whose_image_can_not_be_had_or_that_is_refused_is_an_error() {
    use VersionStatus::*;
    let (_world, alpha) = updating(true).await;
    let waiting = json!({ "reason": "ErrImagePull", "message": "no such blob" });
    let status = json!({ "replicas": 0, "pods": [{ "restartCount": 0, "waiting": waiting }] });
    alpha.report(Kind::Deployment, "server-2", status).await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Error]);
    assert_eq!(
        alpha.version(3, 2).await.error_message.unwrap(),
        "ErrImagePull: no such blob"
    );

    let object = alpha.object(Kind::Deployment, "server-2").await.unwrap();
    object
        .update(|object| {
            object.live = None;
            object.status = ObjectStatus::Error;
            object.error_message = Some("unknown field `hostPath`".into());
        })
        .unwrap();
    alpha.settle().await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Error]);
    assert_eq!(
        alpha.version(3, 2).await.error_message.unwrap(),
        "unknown field `hostPath`"
    );
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_not_scalable_never_runs_twice() {
    use VersionStatus::*;
    let (_world, alpha) = updating(false).await;
    assert_eq!(scales(&alpha).await, [Some(0), None]);
    assert_eq!(statuses(&alpha).await, [Stopping, Stopped]);
    alpha
        .report(
            Kind::Deployment,
            "server-1",
            json!({ "replicas": 1, "readyReplicas": 0 }),
        )
        .await;
    assert_eq!(scales(&alpha).await, [Some(0), None], "it still ends");
    alpha.report(Kind::Deployment, "server-1", down()).await;
    assert_eq!(scales(&alpha).await, [Some(0), Some(1)]);
    alpha.report(Kind::Deployment, "server-2", running()).await;
    assert_eq!(statuses(&alpha).await, [Stopped, Running]);
}

#[tokio::test(start_paused = true)]
async fn what_ran_and_does_not_is_degraded() {
    let (_world, alpha) = updating(true).await;
    alpha.report(Kind::Deployment, "server-2", running()).await;
    alpha.report(Kind::Deployment, "server-2", crashing(1)).await;
    assert_eq!(alpha.version(3, 2).await.status, VersionStatus::Degraded);
    alpha.report(Kind::Deployment, "server-2", running()).await;
    assert_eq!(alpha.version(3, 2).await.status, VersionStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_replica_has_no_process_until_it_is_enabled() {
    let (_world, alpha) = updating(true).await;
    let management = alpha.management(3).await;
    management
        .update(|management| management.enabled = false)
        .unwrap();
    alpha.settle().await;
    assert_eq!(alpha.scale("server-1").await, Some(0));
    management.update(|management| management.enabled = true).unwrap();
    alpha.settle().await;
    assert_eq!(alpha.scale("server-2").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_oneshot_completes_or_is_given_up() {
    use VersionStatus::*;
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    alpha.load(&image).await;
    let condition = |kind: &str, message: &str| {
        let condition = json!({ "type": kind, "status": "True", "message": message });
        json!({ "active": 0, "conditions": [condition] })
    };
    alpha
        .report(
            Kind::Job,
            "visitor-1",
            json!({ "active": 1, "pods": [{ "restartCount": 0 }] }),
        )
        .await;
    assert_eq!(alpha.version(3, 1).await.status, Running);
    alpha
        .report(Kind::Job, "visitor-1", condition("Complete", ""))
        .await;
    assert_eq!(alpha.version(3, 1).await.status, Completed);

    let update = CreateLoadRequest {
        replica_id: Some(3),
        ..asking(&image)
    };
    alpha.load_as(update).await;
    alpha
        .report(Kind::Job, "visitor-2", condition("Failed", "failed 4 times"))
        .await;
    let version = alpha.version(3, 2).await;
    assert_eq!(
        (version.status, version.error_message.as_deref()),
        (Error, Some("failed 4 times"))
    );
    assert_eq!(alpha.version(3, 1).await.status, Completed);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_runs_and_does_not_get_ready_in_time_is_an_error() {
    use VersionStatus::*;
    let (_world, alpha) = updating(true).await;
    let mut late = starting();
    let reason = "ProgressDeadlineExceeded";
    late["conditions"] =
        json!([{ "type": "Progressing", "status": "False", "reason": reason, "message": "too late" }]);
    alpha.report(Kind::Deployment, "server-2", late).await;
    assert_eq!(statuses(&alpha).await, [RunningOutdated, Error]);
    assert_eq!(
        alpha.version(3, 2).await.error_message.as_deref(),
        Some("too late")
    );
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
}

#[tokio::test(start_paused = true)]
async fn going_back_does_not_rely_on_a_version_that_is_being_stopped() {
    use VersionStatus::*;
    let (_world, alpha) = updating(true).await;
    alpha.report(Kind::Deployment, "server-2", running()).await;
    assert_eq!(scales(&alpha).await, [Some(0), Some(1)]);
    // The sentinel has not stopped it yet.
    alpha.engine.rollback(3, None).await.unwrap();
    alpha.settle().await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(1)]);
    assert_eq!(statuses(&alpha).await, [Starting, RunningOutdated]);
    alpha.report(Kind::Deployment, "server-1", running()).await;
    assert_eq!(scales(&alpha).await, [Some(1), Some(0)]);
}
