//! Permissions that replicas ask for while they run.

use alpha_v1::{
    ApprovePermissionRequest, ChangePermission, GrantKind, PermissionStates, RequestPermission,
    RequestStatus, RequestedPermission,
};
use reside::HandlerFailures;
use reside::prelude::*;
use reside::rpc::Code;
use serde_json::{Value, json};

use crate::images::*;
use crate::permissions::{after, expected, grants};
use crate::support::*;

fn asking_for(language: &str) -> RequestPermission {
    RequestPermission {
        requirement: "greeter".to_owned(),
        permission: "greeting:create".to_owned(),
        params: json!({ "language": language }).as_object().unwrap().clone(),
        reason: "somebody speaks it".to_owned(),
    }
}

fn approval_of(request_id: u32) -> ApprovePermissionRequest {
    ApprovePermissionRequest {
        request_id,
        expires_at: None,
    }
}

/// A cluster with a greeter (3) and a visitor (4), which asks for nothing when it is loaded.
async fn cluster_with_visitor() -> (World, Alpha, AccountId) {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor = alpha
        .load(&world.images.publish(&requiring(requirement(vec![]))))
        .await;
    assert_eq!(visitor.replica_id, 4);
    let account = alpha.record(4).await.account;
    (world, alpha, account)
}

async fn request(alpha: &Alpha, id: u32) -> RequestedPermission {
    let request = alpha.engine.state().permission_request(id).await.unwrap();
    request.expect("the request exists").get().unwrap()
}

fn create(language: &str, granted: bool) -> (String, Option<String>, bool) {
    ("greeting:create".to_owned(), Some(language.to_owned()), granted)
}

#[tokio::test(start_paused = true)]
async fn a_permission_is_asked_for_once_and_granted_when_it_is_approved() {
    let (world, alpha, visitor) = cluster_with_visitor().await;
    let asked = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    let other = alpha
        .engine
        .request_permission(&visitor, asking_for("ru"))
        .await
        .unwrap();
    assert_eq!((asked.request_id, other.request_id), (1, 2));
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Pending);
    assert_eq!(expected(&alpha, 3, &visitor).await, []);

    // Asking again is no second request, also for another Alpha.
    alpha.shutdown().await;
    let alpha = world.alpha().await;
    let again = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    assert_eq!(again, asked);

    let approved = alpha
        .engine
        .approve_permission_request(&alpha.me(), approval_of(1))
        .await
        .unwrap();
    assert_eq!(
        (approved.replica_ids, approved.applied),
        (vec![3], false),
        "no greeter runs"
    );
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", true)]);
    let grant = &grants(&alpha).await[0];
    assert!(matches!(
        grant.reasons[0].kind,
        GrantKind::Dynamic { request_id: 1, .. }
    ));
    let again = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    assert_eq!(again.request_id, 1);
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Approved);
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_can_read_the_request_and_nobody_else() {
    let (world, alpha, visitor) = cluster_with_visitor().await;
    let asked = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    alpha.node().wait_for_sync(SOON).await.unwrap();
    let value = Ref::<RequestedPermission>::new(asked.value.parse().unwrap());
    let secret = alpha.engine.state().secrets.get("4").unwrap().unwrap();
    let node = world.log_in(jazz::Credentials::of(secret.parse().unwrap())).await;
    let mine = node.load(&value).await.unwrap();
    let stranger = world.log_in(world.manager.clone()).await;
    assert!(stranger.load(&value).await.is_err());

    alpha
        .engine
        .reject_permission_request(&alpha.me(), 1, Some("no French".into()))
        .await
        .unwrap();
    let refused = mine
        .subscribe()
        .wait_for(|request| request.status == RequestStatus::Rejected)
        .await;
    assert_eq!(
        refused.unwrap().unwrap().refusal_reason.as_deref(),
        Some("no French")
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_stays_one_until_an_administrator_thinks_otherwise() {
    let (_world, alpha, visitor) = cluster_with_visitor().await;
    let me = alpha.me();
    alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    alpha
        .engine
        .reject_permission_request(&me, 1, None)
        .await
        .unwrap();
    let again = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    assert_eq!(again.request_id, 1);
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Rejected);
    let error = alpha
        .engine
        .reject_permission_request(&me, 1, None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::WrongState);

    alpha
        .engine
        .approve_permission_request(&me, approval_of(1))
        .await
        .unwrap();
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", true)]);
    let change = ChangePermission {
        account_id: visitor.to_string(),
        contract: CONTRACT.to_owned(),
        permission: "greeting:create".to_owned(),
        params: Some(json!({ "language": "fr" })),
        replica_ids: None,
    };
    alpha.engine.revoke(&me, change).await.unwrap();
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", false)]);
    alpha.settle().await;
    assert_eq!(
        expected(&alpha, 3, &visitor).await,
        [create("fr", false)],
        "it isn't granted again"
    );
    alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Revoked);
}

#[tokio::test(start_paused = true)]
async fn what_was_approved_for_a_time_can_be_asked_for_again_after_it() {
    let (_world, alpha, visitor) = cluster_with_visitor().await;
    let clock = alpha.running().replica().clock();
    alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    let for_a_minute = ApprovePermissionRequest {
        expires_at: Some(after(clock, 60)),
        ..approval_of(1)
    };
    alpha
        .engine
        .approve_permission_request(&alpha.me(), for_a_minute)
        .await
        .unwrap();
    tokio::time::advance(SOON * 6).await;
    alpha.settle().await;
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", false)]);
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Approved);

    let again = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    assert_eq!(again.request_id, 1);
    assert_eq!(request(&alpha, 1).await.status, RequestStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn what_was_approved_follows_the_requirement() {
    let (world, alpha, visitor) = cluster_with_visitor().await;
    alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    alpha
        .engine
        .approve_permission_request(&alpha.me(), approval_of(1))
        .await
        .unwrap();

    // A version without the requirement has no use for it; one that has it again does.
    world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(4),
        ..asking(VISITOR)
    };
    alpha.load_as(update).await;
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", false)]);
    alpha.engine.rollback(4, None).await.unwrap();
    alpha.settle().await;
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", true)]);
    alpha.engine.unload(4).await.unwrap();
    alpha.settle().await;
    assert_eq!(expected(&alpha, 3, &visitor).await, [create("fr", false)]);
    let error = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NoPermission);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_asked_for_is_said() {
    let (world, alpha, visitor) = cluster_with_visitor().await;
    let stranger = &world.manager.account_id;
    let params = |params: Value| params.as_object().unwrap().clone();
    for (by, asked, code, message) in [
        (
            stranger,
            asking_for("fr"),
            Code::NoPermission,
            "only replicas ask",
        ),
        (
            &visitor,
            RequestPermission {
                requirement: "cook".into(),
                ..asking_for("fr")
            },
            Code::NotFound,
            "no requirement \"cook\"",
        ),
        (
            &visitor,
            RequestPermission {
                permission: "a:b".into(),
                ..asking_for("fr")
            },
            Code::NotFound,
            "no permission \"a:b\"",
        ),
        (
            &visitor,
            RequestPermission {
                params: params(json!({ "language": 1 })),
                ..asking_for("fr")
            },
            Code::Malformed,
            "don't fit",
        ),
        (
            &visitor,
            RequestPermission {
                params: params(json!({})),
                ..asking_for("fr")
            },
            Code::Malformed,
            "lack \"language\"",
        ),
        (
            &visitor,
            RequestPermission {
                reason: " ".into(),
                ..asking_for("fr")
            },
            Code::Malformed,
            "the reason",
        ),
        (
            &visitor,
            RequestPermission {
                reason: "a".repeat(501),
                ..asking_for("fr")
            },
            Code::Malformed,
            "the reason",
        ),
    ] {
        let error = alpha
            .engine
            .request_permission(by, asked.clone())
            .await
            .unwrap_err();
        assert_eq!(error.code(), code, "{asked:?}");
        assert!(error.message().contains(message), "{}", error.message());
    }
    for number in 0..32 {
        let asked = asking_for(&format!("x{number}"));
        alpha.engine.request_permission(&visitor, asked).await.unwrap();
    }
    let error = alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    let error = alpha
        .engine
        .approve_permission_request(&alpha.me(), approval_of(99))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn what_hinders_a_permission_is_told() {
    let (_world, alpha, visitor) = cluster_with_visitor().await;
    alpha
        .engine
        .request_permission(&visitor, asking_for("fr"))
        .await
        .unwrap();
    alpha
        .engine
        .approve_permission_request(&alpha.me(), approval_of(1))
        .await
        .unwrap();
    let pending = PermissionStates {
        account_id: None,
        contract: Some(CONTRACT.to_owned()),
        permission: None,
        replica_id: Some(3),
        pending_only: true,
    };
    let states = alpha.engine.permission_states(&pending).await.unwrap().states;
    assert_eq!(states.len(), 1);
    assert!(states[0].granted && !states[0].carried_out && !states[0].effective);
    assert_eq!(states[0].failure, None);

    // The greeter, which isn't there, notes a failure and then succeeds.
    let block = alpha.node().load(&alpha.record(3).await.rcb).await.unwrap();
    HandlerFailures::open(&block).await.unwrap();
    let failures = alpha
        .node()
        .load(&block.get().unwrap().handler_failures.unwrap())
        .await
        .unwrap();
    let failure = reside::HandlerFailure {
        message: "the French are away".to_owned(),
        attempts: 3,
        since: Timestamp(1),
        retry_at: Timestamp(2),
    };
    let entries = alpha
        .node()
        .load(&block.get().unwrap().permissions)
        .await
        .unwrap();
    let (key, entry) = entries.entries().unwrap().into_iter().next().unwrap();
    failures.insert(&key, &failure).unwrap();
    let states = alpha.engine.permission_states(&pending).await.unwrap().states;
    assert_eq!(states[0].failure.as_ref(), Some(&failure));

    let entry = alpha.node().load(&entry).await.unwrap();
    let params = entry.get().unwrap().expected.params;
    let current = reside::rcb::Current {
        granted: true,
        params,
    };
    entry.update(|entry| entry.current = Some(current)).unwrap();
    assert_eq!(alpha.engine.permission_states(&pending).await.unwrap().states, []);
    let all = PermissionStates {
        pending_only: false,
        ..pending
    };
    assert!(alpha.engine.permission_states(&all).await.unwrap().states[0].effective);
}
