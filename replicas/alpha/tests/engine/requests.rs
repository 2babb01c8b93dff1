//! What becomes of a load request before anybody decides on it.

use alpha_v1::{CreateLoadRequest, LoadRequestStatus, ReplicaKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reside::prelude::*;
use serde_json::json;

use crate::images::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_good_request_waits_for_approval_with_what_was_found() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let image = world.images.publish(&greeter());
    let request = alpha.ask(asking(&format!("{GREETER}:latest"))).await;
    assert_eq!(request.status, LoadRequestStatus::RequiresApproval);
    assert_eq!(
        (request.id, request.replica_name.as_deref()),
        (1, Some("greeter"))
    );
    assert_eq!((request.replica_id, request.version_id), (None, None));
    let validated = request.validated.unwrap();
    assert_eq!(image, format!("{GREETER}@{}", validated.digest));
    assert_eq!(validated.manifest, greeter());
    // The contract that it implements is known from now on.
    let known = alpha
        .engine
        .state()
        .contract(&CONTRACT.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(known.unwrap().get().unwrap().manifest, contract());
}

#[tokio::test(start_paused = true)]
async fn what_an_image_is_not_is_said() {
    let (world, alpha) = cluster().await;
    let images = &world.images;
    images.publish(&contract());
    let label = |json: &str| Some(STANDARD.encode(json));
    let cases = [
        ("not an image", None, "not an identity"),
        (
            "ghcr.io/a/unknown:1",
            None,
            "there is no image ghcr.io/a/unknown:1",
        ),
        ("ghcr.io/a/bare", Some(None), "has no label `io.reside.manifest`"),
        ("ghcr.io/a/text", Some(Some("%%%".to_owned())), "is not base64"),
        ("ghcr.io/a/words", Some(label("{ nothing")), "is not JSON"),
        ("ghcr.io/a/list", Some(label("[]")), "is not a JSON object"),
        (
            "ghcr.io/a/type",
            Some(label(r#"{"type":"cat","identity":"ghcr.io/a/type"}"#)),
            "type is",
        ),
        (
            "ghcr.io/a/other",
            Some(label(r#"{"type":"replica","identity":"ghcr.io/a/another"}"#)),
            "the one of ghcr.io/a/another",
        ),
        (
            "ghcr.io/a/half",
            Some(label(r#"{"type":"replica","identity":"ghcr.io/a/half"}"#)),
            "missing field",
        ),
        (CONTRACT, None, "is a contract; only replicas can be loaded"),
    ];
    for (image, label, expected) in cases {
        if let Some(label) = label {
            images.publish_label(image, label);
        }
        let reason = alpha.refused(asking(image)).await;
        assert!(reason.contains(expected), "{image}: {reason}");
    }
    assert!(alpha.engine.state().replicas.keys().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_needs_must_be_there() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&visitor());
    let reason = alpha.refused(asking(&image)).await;
    assert!(
        reason.contains(&format!("the contract {CONTRACT} can't be fetched")),
        "{reason}"
    );

    world.images.publish(&contract());
    let reason = alpha.refused(asking(&image)).await;
    assert!(
        reason.contains(&format!(
            "no replica implements {CONTRACT}; load one that does first"
        )),
        "{reason}"
    );

    let mut optional = requirement(vec![]);
    optional.optional = true;
    let image = world.images.publish(&requiring(optional));
    let request = alpha.ask(asking(&image)).await;
    assert_eq!(request.status, LoadRequestStatus::RequiresApproval);
}

#[tokio::test(start_paused = true)]
async fn permissions_asked_for_must_exist_and_fit() {
    let (world, alpha) = cluster_with_greeter().await;
    let cases = [
        (
            permission("greeting:burn", json!({})),
            "defines no permission `greeting:burn`",
        ),
        (permission("greeting:create", json!({})), "`language` is missing"),
        (
            permission("greeting:create", json!({ "language": 5 })),
            "not valid",
        ),
        (
            permission("greeting:create", json!({ "language": "en", "loud": true })),
            "loud",
        ),
    ];
    for (asked, expected) in cases {
        let image = world.images.publish(&requiring(requirement(vec![asked])));
        let reason = alpha.refused(asking(&image)).await;
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_instance_follows_from_the_params_and_the_replicas_name() {
    let (world, alpha) = cluster_with_greeter().await;
    let mut asked = permission("greeting:create", json!({ "language": "{replica.name}" }));
    asked.instance_id = Some("somebody else's".into());
    let image = world.images.publish(&requiring(requirement(vec![asked])));
    let named = CreateLoadRequest {
        name: Some("bob".into()),
        ..asking(&image)
    };
    let request = alpha.ask(named).await;
    let requirements = request.validated.unwrap().manifest.requirements;
    let asked = &requirements["greeter"].permissions[0];
    assert_eq!(asked.params["language"], "bob");
    assert_eq!(asked.instance_id.as_deref(), Some("bob"));
}

#[tokio::test(start_paused = true)]
async fn names_are_free_of_loaded_replicas_and_of_requests_that_wait() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let named = |name: &str| CreateLoadRequest {
        name: Some(name.into()),
        ..asking(&image)
    };
    assert_eq!(alpha.load(&image).await.name, "visitor");
    let waiting = alpha.ask(asking(&image)).await;
    assert_eq!(waiting.replica_name.as_deref(), Some("visitor-1"));
    assert_eq!(
        alpha.ask(asking(&image)).await.replica_name.as_deref(),
        Some("visitor-2")
    );
    for taken in ["visitor", "visitor-1"] {
        let reason = alpha.refused(named(taken)).await;
        assert!(reason.contains("is taken"), "{reason}");
    }
    let reason = alpha.refused(named("Not A Name")).await;
    assert!(reason.contains("is no replica name"), "{reason}");
    assert_eq!(
        alpha.ask(named("guest")).await.replica_name.as_deref(),
        Some("guest")
    );

    // A name that a rejected request had is free again.
    alpha.engine.reject(&alpha.me(), waiting.id, None).await.unwrap();
    assert_eq!(
        alpha.ask(asking(&image)).await.replica_name.as_deref(),
        Some("visitor-1")
    );
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_replica_is_updated_whoever_asks() {
    let (world, alpha) = cluster_with_greeter().await;
    let image = world.images.publish(&greeter());
    let request = alpha.ask(asking(&image)).await;
    assert_eq!(
        (request.replica_id, request.replica_name.as_deref()),
        (Some(3), Some("greeter"))
    );
    assert_eq!(
        alpha.found(ReplicaKey::Identity(&GREETER.parse().unwrap())).await,
        [3]
    );
}

#[tokio::test(start_paused = true)]
async fn an_instance_named_by_its_number_must_be_one_of_the_image() {
    let (world, alpha) = cluster_with_greeter().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let visitor = alpha.load(&image).await.replica_id;
    let number = |replica_id| CreateLoadRequest {
        replica_id: Some(replica_id),
        ..asking(&image)
    };
    let reason = alpha.refused(number(99)).await;
    assert!(reason.contains("there is no replica 99"), "{reason}");
    let reason = alpha.refused(number(3)).await;
    assert!(
        reason.contains(&format!("was loaded from {GREETER}, not from {VISITOR}")),
        "{reason}"
    );
    assert_eq!(alpha.ask(number(visitor)).await.replica_id, Some(visitor));
}

#[tokio::test(start_paused = true)]
async fn info_never_changes() {
    let (world, alpha) = cluster_with_greeter().await;
    let exclusive = Info::long_running("greeter").exclusive();
    let cases = [
        (exclusive.clone(), "scalable was true and would be false"),
        (
            Info::oneshot("greeter").exclusive().scalable(),
            "class was LongRunning",
        ),
        (
            Info::long_running("greeter").scalable(),
            "exclusive was true and would be false",
        ),
        (
            Info::long_running("salutator").exclusive().scalable(),
            "name was greeter and would be salutator",
        ),
    ];
    for (info, expected) in cases {
        let image = world.images.publish(&implementing(GREETER, info));
        let reason = alpha.refused(asking(&image)).await;
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_being_validated_is_gone_on_with_after_a_restart() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let id = alpha
        .engine
        .create_load_request(&alpha.me(), asking(&image))
        .await
        .unwrap();
    alpha.shutdown().await;
    let alpha = world.alpha().await;
    assert_eq!(alpha.request(id).await.status, LoadRequestStatus::Validating);
    alpha.settle().await;
    assert_eq!(
        alpha.request(id).await.status,
        LoadRequestStatus::RequiresApproval
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_come_keeps_only_its_own_request_waiting() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let before = alpha.ask(asking(&image)).await.id;
    let me = alpha.me();
    let create = async |image: &str| {
        alpha
            .engine
            .create_load_request(&me, asking(image))
            .await
            .unwrap()
    };
    let slow = create(SLOW).await;
    let others = async {
        world.images.hanging.notified().await;
        alpha.engine.approve(&me, approval(before)).await.unwrap();
        alpha.until(before, |request| request.version_id.is_some()).await;
        let after = create(&image).await;
        let after = alpha
            .until(after, |request| request.status != LoadRequestStatus::Validating)
            .await;
        assert_eq!(after.status, LoadRequestStatus::RequiresApproval);
        assert_eq!(alpha.request(slow).await.status, LoadRequestStatus::Validating);
    };
    let all = async {
        // Less than anything here waits by itself.
        tokio::time::timeout(SOON, others).await.unwrap();
        alpha
            .until(slow, |request| request.status == LoadRequestStatus::Invalid)
            .await
    };
    let given_up = tokio::select! {
        () = alpha.engine.act() => panic!("the loops have ended"),
        given_up = all => given_up,
    };
    let reason = given_up.error_message.unwrap();
    assert!(reason.contains("was not fetched within"), "{reason}");
}
