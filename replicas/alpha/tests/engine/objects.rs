//! The orchestrator's objects: what they say, and that they come back when somebody changes or deletes them.

use kubernetes_sentinel_v1::{Kind, ObjectStatus};
use reside::prelude::*;
use serde_json::json;

use crate::images::*;
use crate::support::*;

const KINDS: [(Kind, &str); 4] = [
    (Kind::Secret, "greeter"),
    (Kind::Deployment, "greeter-1"),
    (Kind::Service, "greeter"),
    (Kind::Ingress, "greeter"),
];

#[tokio::test(start_paused = true)]
async fn a_replica_with_methods_has_a_workload_a_secret_and_a_way_to_it() {
    let (world, alpha) = cluster_with_greeter().await;
    let record = alpha.record(3).await;
    let secret = alpha.manifest(Kind::Secret, "greeter").await.unwrap();
    assert_eq!(secret["stringData"]["accountId"], json!(record.account));
    let deployment = alpha.manifest(Kind::Deployment, "greeter-1").await.unwrap();
    assert_eq!(
        deployment["metadata"]["labels"],
        json!({ "reside.io/replica": "greeter", "reside.io/version": "1" })
    );
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], json!(alpha.version(3, 1).await.image));
    let env = container["env"].as_array().unwrap();
    let value = |name: &str| {
        env.iter()
            .find(|variable| variable["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        value("RESIDE_AGENT_SECRET")["valueFrom"]["secretKeyRef"],
        json!({ "name": "greeter", "key": "agentSecret" })
    );
    assert_eq!(value("RESIDE_INTERNAL_ENDPOINT")["value"], "http://greeter");
    assert!(
        !deployment
            .to_string()
            .contains(secret["stringData"]["agentSecret"].as_str().unwrap())
    );
    let ingress = alpha.manifest(Kind::Ingress, "greeter").await.unwrap();
    assert_eq!(
        ingress["spec"]["rules"][0]["http"]["paths"][0]["path"],
        "/replicas/greeter/"
    );

    // One without methods needs no way to it, but says when it has started, if it is to stay.
    let image = world.images.publish(&replica(
        "ghcr.io/exeteres/reside/replicas/quiet",
        Info::long_running("quiet"),
    ));
    alpha.load(&image).await;
    let deployment = alpha.manifest(Kind::Deployment, "quiet-1").await.unwrap();
    let probe = &deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"];
    assert_eq!(probe["httpGet"]["path"], "/replicas/quiet/readyz");
    assert_eq!(alpha.manifest(Kind::Service, "quiet").await, None);
    alpha.load(&world.images.publish(&visitor())).await;
    assert!(alpha.manifest(Kind::Job, "visitor-1").await.is_some());
    assert_eq!(alpha.manifest(Kind::Service, "visitor").await, None);
    assert_eq!(alpha.manifest(Kind::Ingress, "visitor").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_by_hand_is_put_right() {
    let (_world, alpha) = cluster_with_greeter().await;
    for (kind, name) in KINDS {
        let before = alpha.manifest(kind, name).await;
        let object = alpha.object(kind, name).await.unwrap();
        for changed in [Some(json!({ "kind": "Pig" })), None] {
            object
                .update(|object| {
                    object.manifest = changed;
                    object.status = ObjectStatus::Updated;
                })
                .unwrap();
            alpha.settle().await;
            assert_eq!(alpha.manifest(kind, name).await, before, "{kind}");
            assert_eq!(object.get().unwrap().status, ObjectStatus::Requested, "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_by_hand_comes_back() {
    let (_world, alpha) = cluster_with_greeter().await;
    let data = alpha.sentinel.get().unwrap();
    for (kind, name) in KINDS {
        let before = alpha.manifest(kind, name).await;
        let collection = alpha.node().load(data.collection(kind)).await.unwrap();
        collection.remove(name).unwrap();
        assert!(alpha.object(kind, name).await.is_none());
        alpha.settle().await;
        assert_eq!(alpha.manifest(kind, name).await, before, "{kind}");
        let object = alpha.object(kind, name).await.unwrap();
        assert_eq!(object.get().unwrap().status, ObjectStatus::Requested, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_loop_wakes_when_an_object_is_changed() {
    let (_world, alpha) = cluster_with_greeter().await;
    let object = alpha.object(Kind::Deployment, "greeter-1").await.unwrap();
    let before = object.get().unwrap().manifest;
    let mut changes = object.subscribe();
    let healed = async {
        object.update(|object| object.manifest = None).unwrap();
        changes
            .wait_for(|object| object.manifest == before)
            .await
            .unwrap()
            .unwrap();
    };
    // Far less than the loop waits by itself: it was woken.
    let healed = async {
        tokio::task::yield_now().await;
        tokio::time::timeout(std::time::Duration::from_secs(1), healed)
            .await
            .unwrap();
    };
    tokio::select! {
        () = alpha.engine.act() => panic!("the loop has ended"),
        () = healed => {}
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_has_changed() {
    let (world, alpha) = cluster_with_greeter().await;
    alpha.load(&world.images.publish(&visitor())).await;
    alpha.settle().await;
    alpha.node().wait_for_sync(SOON).await.unwrap();
    alpha.wire.cut_after(0);
    alpha.settle().await;
    tokio::select! {
        biased;
        () = alpha.wire.cut() => panic!("something was written"),
        synced = alpha.node().wait_for_sync(SOON) => synced.unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unloaded_replica_leaves_nothing_behind() {
    let (world, alpha) = cluster_with_greeter().await;
    alpha.engine.unload(3).await.unwrap();
    alpha.settle().await;
    for (kind, name) in KINDS {
        assert_eq!(alpha.manifest(kind, name).await, None, "{kind}");
    }
    // Not even if another replica takes its name at once.
    let image = world
        .images
        .publish(&replica(VISITOR, Info::long_running("guest")));
    let first = alpha.load(&image).await;
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(first.replica_id),
        ..asking(&image)
    };
    alpha.load_as(update).await;
    alpha
        .report(Kind::Deployment, "guest-1", json!({ "replicas": 0 }))
        .await;
    assert_eq!(alpha.scale("guest-2").await, Some(1));
    let next = alpha.ask(asking(&image)).await;
    let named = alpha_v1::CreateLoadRequest {
        name: Some("other".into()),
        ..asking(&image)
    };
    let _ = alpha.ask(named).await;
    assert_eq!(next.replica_name.as_deref(), Some("guest-1"));
    alpha.engine.unload(first.replica_id).await.unwrap();
    let request = alpha
        .engine
        .create_load_request(&alpha.me(), asking(&image))
        .await
        .unwrap();
    alpha.engine.validate_request(request).await.unwrap();
    let taken = alpha.approve(approval(request)).await;
    assert_eq!(taken.name, "guest");
    assert_eq!(alpha.scale("guest-1").await, Some(1));
    assert_eq!(alpha.scale("guest-2").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_placement_group_selects_nodes() {
    let (_world, alpha) = cluster_with_greeter().await;
    let management = alpha.management(3).await;
    management
        .update(|management| management.placement_group = Some("fast".into()))
        .unwrap();
    alpha.settle().await;
    let deployment = alpha.manifest(Kind::Deployment, "greeter-1").await.unwrap();
    assert_eq!(
        deployment["spec"]["template"]["spec"]["nodeSelector"],
        json!({ "reside.io/placement-group": "fast" })
    );
}
