//! Deciding on load requests, and what an approval makes.

use std::collections::BTreeMap;

use alpha_v1::{ApproveLoadRequest, CreateLoadRequest, LoadRequestStatus, ReplicaId, ReplicaKey};
use futures::future::join_all;
use reside::prelude::*;
use reside::rpc::Code;

use crate::images::*;
use crate::support::*;

fn choosing(id: u32, chosen: &[ReplicaId]) -> ApproveLoadRequest {
    ApproveLoadRequest {
        load_request_id: id,
        requirement_replica_ids: BTreeMap::from([("greeter".to_owned(), chosen.to_vec())]),
        expires_at: None,
    }
}

/// Loads so many replicas that implement the contract and aren't exclusive; returns their numbers.
async fn load_greeters(world: &World, alpha: &Alpha, count: usize) -> Vec<ReplicaId> {
    world.images.publish(&contract());
    let image = world
        .images
        .publish(&implementing(GREETER, Info::long_running("greeter")));
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(alpha.load(&image).await.replica_id);
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn an_approval_makes_a_replica_and_its_version() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let image = world.images.publish(&greeter());
    let asked = CreateLoadRequest {
        owner_id: Some("ada".into()),
        ..asking(GREETER)
    };
    let approved = alpha.load_as(asked).await;
    assert_eq!(
        (approved.replica_id, approved.version_id, approved.name.as_str()),
        (3, 1, "greeter")
    );

    let record = alpha.record(3).await;
    assert_eq!(record.name, "greeter");
    assert_eq!(record.info, greeter().info);
    assert_eq!(record.owner_id.as_deref(), Some("ada"));
    assert_eq!(record.implementations, [CONTRACT]);
    assert_eq!(*world.accounts.made.lock(), std::slice::from_ref(&record.account));
    let version = alpha.version(3, 1).await;
    assert_eq!((version.image, version.load_request_id), (image, 1));
    let request = alpha.request(1).await;
    assert_eq!(request.status, LoadRequestStatus::Approved);
    assert_eq!((request.replica_id, request.version_id), (Some(3), Some(1)));
    assert_eq!(request.decided_by, Some(alpha.me()));
    for key in [
        ReplicaKey::Name("greeter"),
        ReplicaKey::Identity(&record.identity),
        ReplicaKey::Contract(&record.implementations[0]),
    ] {
        assert_eq!(alpha.found(key.clone()).await, [3], "{key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_decided_on_once() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let me = alpha.me();
    let wrong_state = async |id: u32, expected: &str| {
        let approving = alpha.engine.approve(&me, approval(id)).await.unwrap_err();
        let rejecting = alpha.engine.reject(&me, id, None).await.unwrap_err();
        for error in [approving, rejecting] {
            assert_eq!(error.code(), Code::WrongState, "{error}");
            assert!(error.message().contains(expected), "{error}");
        }
    };
    let unknown = alpha.engine.approve(&me, approval(9)).await.unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "there is no load request 9")
    );

    let id = alpha
        .engine
        .create_load_request(&me, asking(&image))
        .await
        .unwrap();
    wrong_state(id, "load request 1 is still being validated").await;
    alpha.settle().await;
    alpha.approve(approval(id)).await;
    wrong_state(id, "load request 1 is approved already").await;

    let id = alpha.ask(asking(&image)).await.id;
    let reason = Some("not today".to_owned());
    alpha.engine.reject(&me, id, reason.clone()).await.unwrap();
    let rejected = alpha.request(id).await;
    assert_eq!(
        (rejected.status, rejected.rejection_reason),
        (LoadRequestStatus::Rejected, reason)
    );
    wrong_state(id, "load request 2 was rejected").await;

    alpha.refused(asking("nonsense")).await;
    wrong_state(3, "load request 3 is invalid").await;
    assert_eq!(alpha.engine.state().replicas.keys().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_choice_the_oldest_candidate_serves_and_all_where_several_may() {
    let (world, alpha) = cluster().await;
    let greeters = load_greeters(&world, &alpha, 2).await;
    let one = alpha.load(&world.images.publish(&visitor())).await;
    let mut several = requirement(vec![]);
    several.multiple = true;
    let all = alpha.load(&world.images.publish(&requiring(several))).await;
    let served_by = async |id| alpha.version(id, 1).await.requirements["greeter"].clone();
    assert_eq!(served_by(one.replica_id).await, greeters[..1]);
    assert_eq!(served_by(all.replica_id).await, greeters);
}

#[tokio::test(start_paused = true)]
async fn a_choice_keeps_within_what_the_replica_allows() {
    let (world, alpha) = cluster().await;
    let greeters = load_greeters(&world, &alpha, 2).await;
    let none: &[ReplicaId] = &[];
    let cases = [
        (false, false, &greeters[1..], Ok(())),
        (false, false, none, Err("needs a replica")),
        (false, false, &greeters[..], Err("takes one replica, not several")),
        (false, false, &[77][..], Err("replica 77 does not implement")),
        (true, false, none, Ok(())),
        (true, false, &greeters[..], Err("takes one replica, not several")),
        (false, true, &greeters[..], Ok(())),
    ];
    for (optional, multiple, chosen, expected) in cases {
        let mut required = requirement(vec![]);
        (required.optional, required.multiple) = (optional, multiple);
        let request = alpha
            .ask(asking(&world.images.publish(&requiring(required))))
            .await;
        let result = alpha
            .engine
            .approve(&alpha.me(), choosing(request.id, chosen))
            .await;
        match (result, expected) {
            (Ok(approved), Ok(())) => {
                alpha.settle().await;
                let version = alpha.version(approved.replica_id, 1).await;
                assert_eq!(version.requirements["greeter"], chosen);
            }
            (Err(error), Err(reason)) => {
                assert!(error.message().contains(reason), "{error}");
                let status = alpha.request(request.id).await.status;
                assert_eq!(
                    status,
                    LoadRequestStatus::RequiresApproval,
                    "it can be decided on again"
                );
                alpha.engine.reject(&alpha.me(), request.id, None).await.unwrap();
            }
            (result, expected) => panic!("{chosen:?}: {result:?} instead of {expected:?}"),
        }
    }
    let request = alpha.ask(asking(VISITOR)).await;
    let unknown = ApproveLoadRequest {
        requirement_replica_ids: BTreeMap::from([("cook".to_owned(), vec![3])]),
        expires_at: None,
        ..approval(request.id)
    };
    let error = alpha.engine.approve(&alpha.me(), unknown).await.unwrap_err();
    assert_eq!(error.message(), "the replica has no requirement \"cook\"");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_was_unloaded_meanwhile_serves_nobody() {
    let (world, alpha) = cluster().await;
    let greeters = load_greeters(&world, &alpha, 2).await;
    let image = world.images.publish(&visitor());
    let (first, second) = (
        alpha.ask(asking(&image)).await.id,
        alpha.ask(asking(&image)).await.id,
    );
    alpha.engine.unload(greeters[0]).await.unwrap();
    let error = alpha
        .engine
        .approve(&alpha.me(), choosing(first, &greeters[..1]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::WrongState, "{error}");
    let approved = alpha.approve(approval(first)).await;
    let version = alpha.version(approved.replica_id, 1).await;
    assert_eq!(version.requirements["greeter"], greeters[1..]);

    alpha.engine.unload(approved.replica_id).await.unwrap();
    alpha.engine.unload(greeters[1]).await.unwrap();
    let error = alpha
        .engine
        .approve(&alpha.me(), approval(second))
        .await
        .unwrap_err();
    assert!(error.message().contains("needs a replica"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_requests_for_one_exclusive_replica_make_it_and_update_it() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let image = world.images.publish(&greeter());
    let (first, second) = (alpha.ask(asking(&image)).await, alpha.ask(asking(&image)).await);
    assert_eq!(second.replica_name.as_deref(), Some("greeter"));
    // Both before anything is carried out.
    let made = alpha
        .engine
        .approve(&alpha.me(), approval(second.id))
        .await
        .unwrap();
    let updated = alpha
        .engine
        .approve(&alpha.me(), approval(first.id))
        .await
        .unwrap();
    alpha.settle().await;
    assert_eq!((made.replica_id, made.version_id), (3, 1));
    assert_eq!((updated.replica_id, updated.version_id), (3, 2));
    assert_eq!(alpha.record(3).await.current_version, 2);
    assert_eq!(world.accounts.made.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn approvals_at_once_share_no_number_and_no_name() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let mut requests = Vec::new();
    for _ in 0..6 {
        requests.push(alpha.ask(asking(&image)).await.id);
    }
    let me = alpha.me();
    let approving = requests.iter().map(|id| alpha.engine.approve(&me, approval(*id)));
    // Each request twice: the second of each pair comes too late.
    let again = requests.iter().map(|id| alpha.engine.approve(&me, approval(*id)));
    let results = join_all(approving.chain(again)).await;
    alpha.settle().await;
    let mut approved: Vec<_> = results.into_iter().flatten().collect();
    approved.sort_by_key(|approved| approved.replica_id);
    let ids: Vec<_> = approved.iter().map(|approved| approved.replica_id).collect();
    assert_eq!(ids, [3, 4, 5, 6, 7, 8]);
    let mut names: Vec<_> = approved.iter().map(|approved| approved.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 6);
    assert_eq!(world.accounts.made.lock().len(), 6);

    let updates = join_all((0..4).map(|_| {
        alpha.ask(CreateLoadRequest {
            replica_id: Some(3),
            ..asking(&image)
        })
    }))
    .await;
    let approving = updates
        .iter()
        .map(|update| alpha.engine.approve(&me, approval(update.id)));
    let approved = join_all(approving).await.into_iter().map(Result::unwrap);
    let mut versions: Vec<_> = approved.map(|approved| approved.version_id).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_share_no_number() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let me = alpha.me();
    let asking = (0..8).map(|_| alpha.engine.create_load_request(&me, asking(&image)));
    let mut ids: Vec<u32> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8]);
    alpha.settle().await;
    let mut names = Vec::new();
    for id in ids {
        names.push(alpha.request(id).await.replica_name.unwrap());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_number_is_never_used_again_but_a_name_is() {
    let (world, alpha) = cluster().await;
    let image = world.images.publish(&replica(VISITOR, Info::oneshot("visitor")));
    let first = alpha.load(&image).await;
    alpha.engine.unload(first.replica_id).await.unwrap();
    assert!(alpha.found(ReplicaKey::Name("visitor")).await.is_empty());
    let second = alpha.load(&image).await;
    assert_eq!((second.replica_id, second.name.as_str()), (4, "visitor"));
    assert_eq!(alpha.found(ReplicaKey::Name("visitor")).await, [4]);
    assert_ne!(alpha.record(3).await.account, alpha.record(4).await.account);
    // Also by an Alpha that knows nothing but what it reads.
    alpha.engine.unload(4).await.unwrap();
    alpha.shutdown().await;
    let alpha = world.alpha().await;
    assert_eq!(alpha.load(&image).await.replica_id, 5);
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_replica_that_was_unloaded_comes_back_as_another() {
    let (world, alpha) = cluster_with_greeter().await;
    let waiting = alpha.ask(asking(GREETER)).await;
    assert_eq!(waiting.replica_id, Some(3));
    alpha.engine.unload(3).await.unwrap();
    let error = alpha
        .engine
        .approve(&alpha.me(), approval(waiting.id))
        .await
        .unwrap_err();
    assert_eq!(error.message(), "replica 3 was unloaded meanwhile");
    let again = alpha.load(GREETER).await;
    assert_eq!((again.replica_id, again.version_id), (4, 1));
    assert_eq!(world.accounts.made.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_others_need_is_not_unloaded() {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor = alpha.load(&world.images.publish(&visitor())).await;
    let error = alpha.engine.unload(3).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    assert_eq!(
        error.message(),
        "visitor needs it for its requirement \"greeter\"; unload visitor first"
    );
    for id in [0, 1, 2, 99] {
        assert_eq!(alpha.engine.unload(id).await.unwrap_err().code(), Code::NotFound);
    }
    alpha.engine.unload(visitor.replica_id).await.unwrap();
    alpha.engine.unload(3).await.unwrap();
    assert_eq!(alpha.engine.unload(3).await.unwrap_err().code(), Code::NotFound);
    assert!(
        alpha
            .found(ReplicaKey::Contract(&CONTRACT.parse().unwrap()))
            .await
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn an_optional_server_may_go() {
    let (world, alpha) = cluster_with_greeter().await;
    let mut optional = requirement(vec![]);
    optional.optional = true;
    let visitor = alpha.load(&world.images.publish(&requiring(optional))).await;
    let block = alpha.record(visitor.replica_id).await.rcb;
    let served_by = async || {
        let block = alpha.node().load(&block).await.unwrap().get().unwrap();
        let requirements = alpha.node().load(&block.requirements).await.unwrap();
        requirements.get("greeter").unwrap().unwrap()
    };
    assert_eq!(served_by().await, [alpha.record(3).await.account]);
    alpha.engine.unload(3).await.unwrap();
    alpha.settle().await;
    assert!(served_by().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_makes_an_older_version_current() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let info = || Info::long_running("greeter").exclusive().scalable();
    let implementing = world.images.publish(&implementing(GREETER, info()));
    alpha.load(&implementing).await;
    let error = alpha.engine.rollback(3, None).await.unwrap_err();
    assert_eq!(error.message(), "replica 3 has no older version");
    alpha.load(&world.images.publish(&replica(GREETER, info()))).await;
    let contract = CONTRACT.parse().unwrap();
    assert!(alpha.found(ReplicaKey::Contract(&contract)).await.is_empty());

    assert_eq!(alpha.engine.rollback(3, None).await.unwrap(), 1);
    assert_eq!(alpha.record(3).await.current_version, 1);
    assert_eq!(alpha.found(ReplicaKey::Contract(&contract)).await, [3]);
    assert_eq!(alpha.engine.rollback(3, Some(2)).await.unwrap(), 2);
    assert!(alpha.record(3).await.implementations.is_empty());
    let error = alpha.engine.rollback(3, Some(9)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::NotFound, "replica 3 has no version 9")
    );
    assert_eq!(
        alpha.engine.rollback(42, None).await.unwrap_err().code(),
        Code::NotFound
    );
    // The number of the next version isn't affected.
    assert_eq!(alpha.load(&implementing).await.version_id, 3);
}
