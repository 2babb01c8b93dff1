//! Who has which permission where, and why; and who administers the cluster.

use alpha::SystemReplica;
use alpha_v1::{AlphaContract, ApproveLoadRequest, ChangePermission, GrantKind, GrantRecord, ReplicaId};
use jazz::driver::OsEntropy;
use jazz::{AgentSecret, SecretSeed};
use kubernetes_sentinel_v1::KubernetesSentinelContract;
use reside::prelude::*;
use reside::rcb::PermissionEntry;
use reside::rpc::Code;
use reside::{Clock, Contract};
use serde_json::{Value, json};

use crate::images::*;
use crate::support::*;

fn change(account: &AccountId, permission: &str, params: Value) -> ChangePermission {
    ChangePermission {
        account_id: account.to_string(),
        contract: CONTRACT.to_owned(),
        permission: permission.to_owned(),
        params: Some(params),
        replica_ids: None,
    }
}

/// What the control block of a replica says of an account: permission and instance, and whether it is granted.
pub async fn expected(
    alpha: &Alpha,
    at: ReplicaId,
    account: &AccountId,
) -> Vec<(String, Option<String>, bool)> {
    let block = alpha.node().load(&alpha.record(at).await.rcb).await.unwrap();
    let entries = alpha
        .node()
        .load(&block.get().unwrap().permissions)
        .await
        .unwrap();
    let mut found = Vec::new();
    for entry in entries.entries().unwrap().values() {
        let entry: PermissionEntry = alpha.node().load(entry).await.unwrap().get().unwrap();
        if entry.account == *account {
            found.push((entry.name, entry.instance_id, entry.expected.granted));
        }
    }
    found.sort();
    found
}

pub async fn grants(alpha: &Alpha) -> Vec<GrantRecord> {
    let mut grants = Vec::new();
    for grant in alpha.engine.state().grants.entries().unwrap().values() {
        grants.push(alpha.node().load(grant).await.unwrap().get().unwrap());
    }
    grants
}

fn create(language: &str, granted: bool) -> (String, Option<String>, bool) {
    ("greeting:create".to_owned(), Some(language.to_owned()), granted)
}

fn read(granted: bool) -> (String, Option<String>, bool) {
    ("greeting:read:all".to_owned(), None, granted)
}

#[tokio::test(start_paused = true)]
async fn what_a_version_asks_for_is_granted_as_long_as_it_is_current() {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor_image = world.images.publish(&visitor());
    let visitor = alpha.load(&visitor_image).await.replica_id;
    let account = alpha.record(visitor).await.account;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", true), read(true)]
    );

    // An update that asks for less, and for something else.
    let other = permission("greeting:create", json!({ "language": "fr" }));
    world.images.publish(&requiring(requirement(vec![other])));
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(visitor),
        ..asking(VISITOR)
    };
    alpha.load_as(update).await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", false), create("fr", true), read(false)]
    );
    alpha.engine.rollback(visitor, None).await.unwrap();
    alpha.settle().await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", true), create("fr", false), read(true)]
    );
    alpha.engine.unload(visitor).await.unwrap();
    alpha.settle().await;
    let granted = expected(&alpha, 3, &account)
        .await
        .into_iter()
        .filter(|(.., granted)| *granted);
    assert_eq!(granted.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn permissions_move_to_the_replica_that_serves() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let greeter = world
        .images
        .publish(&implementing(GREETER, Info::long_running("greeter")));
    alpha.load(&greeter).await;
    alpha.load(&greeter).await;
    let visitor = alpha.load(&world.images.publish(&visitor())).await.replica_id;
    let account = alpha.record(visitor).await.account;
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(visitor),
        ..asking(VISITOR)
    };
    let request = alpha.ask(update).await;
    let mut approval = approval(request.id);
    approval.requirement_replica_ids.insert("greeter".into(), vec![4]);
    alpha.approve(approval).await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", false), read(false)]
    );
    assert_eq!(
        expected(&alpha, 4, &account).await,
        [create("en", true), read(true)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_permission_with_two_reasons_outlives_one_of_them() {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor = alpha.load(&world.images.publish(&visitor())).await.replica_id;
    let account = alpha.record(visitor).await.account;
    let en = || change(&account, "greeting:create", json!({ "language": "en" }));
    let granted = alpha.engine.grant(&alpha.me(), en(), None).await.unwrap();
    assert_eq!(granted.replica_ids, [3]);
    assert!(!granted.applied, "no greeter runs");
    let both = grants(&alpha)
        .await
        .into_iter()
        .find(|grant| grant.reasons.len() == 2)
        .unwrap();
    assert!(matches!(
        both.reasons[0].kind,
        GrantKind::Static {
            replica_id: 4,
            version_id: 1
        }
    ));
    alpha.settle().await;

    // Granting again is no third reason; taking it back leaves what the version asks for.
    alpha.engine.grant(&alpha.me(), en(), None).await.unwrap();
    let revoked = alpha.engine.revoke(&alpha.me(), en()).await.unwrap();
    assert_eq!(revoked.still_granted_at, [3], "the version asks for it");
    alpha.settle().await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", true), read(true)]
    );
    assert!(grants(&alpha).await.iter().all(|grant| grant.reasons.len() == 1));

    // The other way round.
    alpha.engine.grant(&alpha.me(), en(), None).await.unwrap();
    world.images.publish(&requiring(requirement(vec![])));
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(visitor),
        ..asking(VISITOR)
    };
    alpha.load_as(update).await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", true), read(false)]
    );
    alpha.engine.revoke(&alpha.me(), en()).await.unwrap();
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", false), read(false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_permission_by_hand_is_for_all_that_implement_the_contract_or_for_those_named() {
    let (world, alpha) = cluster().await;
    world.images.publish(&contract());
    let greeter = world
        .images
        .publish(&implementing(GREETER, Info::long_running("greeter")));
    for _ in 0..3 {
        alpha.load(&greeter).await;
    }
    let ada = &world.manager.account_id;
    let all = alpha
        .engine
        .grant(&alpha.me(), change(ada, "greeting:read:all", json!({})), None)
        .await
        .unwrap();
    assert_eq!(all.replica_ids, [3, 4, 5]);
    let some = ChangePermission {
        replica_ids: Some(vec![4]),
        ..change(ada, "greeting:read:all", json!({}))
    };
    assert_eq!(
        alpha.engine.revoke(&alpha.me(), some).await.unwrap().replica_ids,
        [4]
    );
    for (at, granted) in [(3, true), (4, false), (5, true)] {
        assert_eq!(expected(&alpha, at, ada).await, [read(granted)]);
    }
    // What was never granted needs no entry to be taken back.
    alpha
        .engine
        .revoke(
            &alpha.me(),
            change(ada, "greeting:create", json!({ "language": "ru" })),
        )
        .await
        .unwrap();
    assert_eq!(expected(&alpha, 3, ada).await, [read(true)]);
}

/// The params and the end of a permission that the greeter has to expect, if it is there and granted.
async fn params_and_end(alpha: &Alpha, account: &AccountId) -> Option<(Value, Option<Timestamp>)> {
    let block = alpha.node().load(&alpha.record(3).await.rcb).await.unwrap();
    let entries = alpha
        .node()
        .load(&block.get().unwrap().permissions)
        .await
        .unwrap();
    for entry in entries.entries().unwrap().values() {
        let entry: PermissionEntry = alpha.node().load(entry).await.unwrap().get().unwrap();
        if entry.account == *account && entry.expected.granted {
            return Some((entry.expected.params.into(), entry.expected.expires_at));
        }
    }
    None
}

pub fn after(clock: Clock, seconds: u64) -> Timestamp {
    Timestamp(clock.now().0 + seconds * 1000)
}

#[tokio::test(start_paused = true)]
async fn a_grant_by_hand_ends_and_leaves_the_control_block() {
    let (world, alpha) = cluster_with_greeter().await;
    let ada = &world.manager.account_id;
    let clock = alpha.running().replica().clock();
    let (asked, end) = (change(ada, "greeting:read:all", json!({})), after(clock, 3600));
    alpha
        .engine
        .grant(&alpha.me(), asked.clone(), Some(end))
        .await
        .unwrap();
    assert_eq!(params_and_end(&alpha, ada).await, Some((json!({}), Some(end))));

    // The greeter, which isn't there, carries it out and takes it back in time.
    let block = alpha.node().load(&alpha.record(3).await.rcb).await.unwrap();
    let entries = alpha
        .node()
        .load(&block.get().unwrap().permissions)
        .await
        .unwrap();
    let entry = entries.entries().unwrap().into_values().next().unwrap();
    let entry = alpha.node().load(&entry).await.unwrap();
    let carry_out = |granted| {
        let current = reside::rcb::Current {
            granted,
            params: Default::default(),
        };
        entry.update(|entry| entry.current = Some(current)).unwrap();
    };
    carry_out(true);
    alpha.settle().await;
    assert!(entry.get().unwrap().is_effective(clock.now()));

    tokio::time::advance(SOON * 400).await;
    assert!(
        !entry.get().unwrap().is_effective(clock.now()),
        "at the moment itself"
    );
    alpha.settle().await;
    assert_eq!(entries.len().unwrap(), 1, "the greeter has yet to take it back");
    carry_out(false);
    alpha.settle().await;
    assert!(entries.is_empty().unwrap());
    assert_eq!(
        grants(&alpha).await[0].reasons[0].expires_at,
        Some(end),
        "it is remembered"
    );

    // Given anew, it is there anew.
    alpha.engine.grant(&alpha.me(), asked, None).await.unwrap();
    assert_eq!(params_and_end(&alpha, ada).await, Some((json!({}), None)));
    assert_eq!(grants(&alpha).await[0].reasons.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_has_passed_is_refused() {
    let (world, alpha) = cluster_with_greeter().await;
    let asked = change(&world.manager.account_id, "greeting:read:all", json!({}));
    let now = alpha.running().replica().clock().now();
    let error = alpha
        .engine
        .grant(&alpha.me(), asked, Some(now))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Malformed);
    world.images.publish(&visitor());
    let request = alpha.ask(asking(VISITOR)).await;
    let late = ApproveLoadRequest {
        expires_at: Some(now),
        ..approval(request.id)
    };
    let error = alpha.engine.approve(&alpha.me(), late).await.unwrap_err();
    assert_eq!(error.code(), Code::Malformed);
}

#[tokio::test(start_paused = true)]
async fn what_a_version_asks_for_can_be_approved_for_a_time() {
    let (world, alpha) = cluster_with_greeter().await;
    world.images.publish(&visitor());
    let clock = alpha.running().replica().clock();
    let (request, end) = (alpha.ask(asking(VISITOR)).await, after(clock, 60));
    let approval = ApproveLoadRequest {
        expires_at: Some(end),
        ..approval(request.id)
    };
    let visitor = alpha.approve(approval).await.replica_id;
    let account = alpha.record(visitor).await.account;
    assert_eq!(params_and_end(&alpha, &account).await.unwrap().1, Some(end));

    // What an administrator grants besides goes on after it.
    let read = change(&account, "greeting:read:all", json!({}));
    alpha.engine.grant(&alpha.me(), read, None).await.unwrap();
    tokio::time::advance(SOON * 6).await;
    alpha.settle().await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", false), self::read(true)]
    );
}

#[tokio::test(start_paused = true)]
async fn params_of_an_administrator_go_before_those_of_a_version() {
    let (world, alpha) = cluster().await;
    let mut contract = contract();
    contract.permissions["greeting:create"].params = None;
    world.images.publish(&contract);
    alpha.load(&world.images.publish(&greeter())).await;
    let asks = permission("greeting:create", json!({ "language": "en", "times": 1 }));
    let visitor = alpha
        .load(&world.images.publish(&requiring(requirement(vec![asks]))))
        .await;
    let account = alpha.record(visitor.replica_id).await.account;
    let times = |times: u32| json!({ "language": "en", "times": times });
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(1), None)));

    let clock = alpha.running().replica().clock();
    let more = change(&account, "greeting:create", times(5));
    let end = after(clock, 60);
    alpha
        .engine
        .grant(&alpha.me(), more.clone(), Some(end))
        .await
        .unwrap();
    alpha.settle().await;
    // Nobody said that five times may go on for ever.
    assert_eq!(
        params_and_end(&alpha, &account).await,
        Some((times(5), Some(end)))
    );
    tokio::time::advance(SOON * 6).await;
    alpha.settle().await;
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(1), None)));

    alpha.engine.grant(&alpha.me(), more.clone(), None).await.unwrap();
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(5), None)));
    alpha.engine.revoke(&alpha.me(), more).await.unwrap();
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(1), None)));
}

#[tokio::test(start_paused = true)]
async fn a_version_with_other_params_updates_them_when_it_is_approved() {
    let (world, alpha) = cluster().await;
    let mut contract = contract();
    contract.permissions["greeting:create"].params = None;
    world.images.publish(&contract);
    alpha.load(&world.images.publish(&greeter())).await;
    let times = |times: u32| json!({ "language": "en", "times": times });
    let asking_for = |params| requiring(requirement(vec![permission("greeting:create", params)]));
    let visitor = alpha
        .load(&world.images.publish(&asking_for(times(1))))
        .await
        .replica_id;
    let account = alpha.record(visitor).await.account;
    world.images.publish(&asking_for(times(2)));
    let update = alpha_v1::CreateLoadRequest {
        replica_id: Some(visitor),
        ..asking(VISITOR)
    };
    let request = alpha.ask(update).await;
    assert_eq!(
        params_and_end(&alpha, &account).await,
        Some((times(1), None)),
        "nobody has approved it"
    );
    alpha.approve(approval(request.id)).await;
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(2), None)));
    alpha.engine.rollback(visitor, None).await.unwrap();
    alpha.settle().await;
    assert_eq!(params_and_end(&alpha, &account).await, Some((times(1), None)));
}

#[tokio::test(start_paused = true)]
async fn of_two_administrators_the_later_one_decides() {
    let (world, alpha) = cluster_with_greeter().await;
    let ada = &world.manager.account_id;
    let (me, other) = (alpha.me(), ada.clone());
    let read = || change(ada, "greeting:read:all", json!({}));
    let end = after(world.clock, 3600);
    for _ in 0..5 {
        let (granted, revoked, shortened) = tokio::join!(
            alpha.engine.grant(&me, read(), None),
            alpha.engine.revoke(&other, read()),
            alpha.engine.grant(&other, read(), Some(end)),
        );
        granted.unwrap();
        revoked.unwrap();
        shortened.unwrap();
        // One grant with one reason, whose params and end the control block has.
        let grants = grants(&alpha).await;
        let [grant] = &grants[..] else {
            panic!("{grants:?}")
        };
        let expected = grant.expected(world.clock.now());
        assert!(grant.reasons.len() <= 1, "{grant:?}");
        let found = params_and_end(&alpha, ada).await;
        assert_eq!(found, expected.granted.then(|| (json!({}), expected.expires_at)));
        alpha.settle().await;
        assert_eq!(
            params_and_end(&alpha, ada).await,
            found,
            "the loop decides nothing"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_granted_is_said() {
    let (world, alpha) = cluster_with_greeter().await;
    let ada = &world.manager.account_id;
    let good = change(ada, "greeting:create", json!({ "language": "en" }));
    let unknown = Node::builder().create_account("unknown").connect().await.unwrap();
    let cases = [
        (
            ChangePermission {
                account_id: "ada".into(),
                ..good.clone()
            },
            Code::Malformed,
            "the account id",
        ),
        (
            ChangePermission {
                contract: "greeter".into(),
                ..good.clone()
            },
            Code::Malformed,
            "the contract",
        ),
        (
            ChangePermission {
                contract: "ghcr.io/a/b".into(),
                ..good.clone()
            },
            Code::NotFound,
            "the contract ghcr.io/a/b is not known here",
        ),
        (
            change(ada, "greeting:burn", json!({})),
            Code::NotFound,
            "it has: greeting:create, greeting:read:all",
        ),
        (
            change(ada, "greeting:create", json!({})),
            Code::Malformed,
            "language",
        ),
        (
            change(ada, "greeting:create", json!([])),
            Code::Malformed,
            "no JSON object",
        ),
        (
            change(ada, "greeting:create", json!({ "language": 1 })),
            Code::Malformed,
            "don't fit: `/language`: 1 is not of type \"string\"",
        ),
        (
            ChangePermission {
                replica_ids: Some(vec![9]),
                ..good.clone()
            },
            Code::NotFound,
            "replica 9 does not implement",
        ),
        (
            ChangePermission {
                account_id: unknown.account_id().to_string(),
                ..good.clone()
            },
            Code::NotFound,
            "is no account that this cluster knows",
        ),
    ];
    for (asked, code, expected) in cases {
        let error = alpha.engine.grant(&alpha.me(), asked, None).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
    alpha.engine.unload(3).await.unwrap();
    let error = alpha.engine.grant(&alpha.me(), good, None).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongState, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_to_a_replica_by_hand_goes_with_it() {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor = alpha.load(&world.images.publish(&visitor())).await.replica_id;
    let account = alpha.record(visitor).await.account;
    let ru = change(&account, "greeting:create", json!({ "language": "ru" }));
    alpha.engine.grant(&alpha.me(), ru, None).await.unwrap();
    alpha.engine.unload(visitor).await.unwrap();
    alpha.settle().await;
    assert!(grants(&alpha).await.iter().all(|grant| grant.reasons.is_empty()));
    assert!(
        expected(&alpha, 3, &account)
            .await
            .iter()
            .all(|(.., granted)| !granted)
    );
}

/// Loads Alpha as replica 1, with a sentinel that it needs, and sets the token.
async fn claimable(world: &World, alpha: &Alpha) {
    let sentinel = ReplicaDefinition::new(
        "ghcr.io/exeteres/reside/replicas/sentinel",
        Info::long_running("sentinel"),
    );
    let sentinel = sentinel
        .en("Sentinel", "")
        .implements::<KubernetesSentinelContract>("sentinel");
    let setup = world.setup(alpha.running()).await;
    setup.register::<AlphaContract>().await.unwrap();
    setup.register::<KubernetesSentinelContract>().await.unwrap();
    setup.set_claim_token("open sesame").unwrap();
    let system = [
        SystemReplica {
            id: 2,
            image: world.images.publish(&sentinel.manifest().unwrap()),
            secret: AgentSecret::from_seed(&SecretSeed::random(&mut OsEntropy)),
            control_block: None,
        },
        SystemReplica {
            id: 1,
            image: world.images.publish(&alpha::definition().manifest().unwrap()),
            secret: world.credentials.agent_secret.clone(),
            control_block: Some(world.control_block.clone()),
        },
    ];
    // Loading them twice loads them once.
    setup.load(&system).await.unwrap();
    setup.load(&system).await.unwrap();
    setup.close();
    assert_eq!(alpha.engine.state().all_load_requests().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_token_becomes_administrator_once() {
    let (world, alpha) = cluster().await;
    claimable(&world, &alpha).await;
    let ada = world.manager.account_id.clone();
    let state = alpha.engine.state();
    let error = alpha.engine.claim(&ada, "open barley").await.unwrap_err();
    assert_eq!(error.code(), Code::NoPermission);
    assert_eq!(state.data.get().unwrap().super_admin_account, None);

    alpha.engine.claim(&ada, "open sesame").await.unwrap();
    assert_eq!(state.data.get().unwrap().super_admin_account, Some(ada.clone()));
    let names: Vec<_> = expected(&alpha, 1, &ada)
        .await
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    let mut all: Vec<_> = AlphaContract::manifest().permissions.into_keys().collect();
    all.retain(|name| name != "rcb:manage:all");
    all.sort();
    assert_eq!(names, all);

    alpha.engine.claim(&ada, "open sesame").await.unwrap();
    let error = alpha.engine.claim(&alpha.me(), "open sesame").await.unwrap_err();
    assert_eq!(error.code(), Code::NoPermission);
    assert_eq!(state.data.get().unwrap().super_admin_account, Some(ada));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_cut_off_is_finished_by_claiming_again() {
    let (prepared, alpha) = cluster().await;
    claimable(&prepared, &alpha).await;
    alpha.shutdown().await;
    // Each grant is the same few messages: the first ones show what any of them would.
    for messages in 0..12 {
        let world = prepared.fork();
        let alpha = world.alpha().await;
        let ada = world.manager.account_id.clone();
        alpha.wire.cut_after(messages);
        tokio::select! {
            biased;
            () = alpha.wire.cut() => {}
            () = async {
                alpha.engine.claim(&ada, "open sesame").await.unwrap();
                alpha.node().wait_for_sync(SOON).await.unwrap();
            } => panic!("the claim needs no more than {messages} messages"),
        };
        alpha.kill().await;
        let alpha = world.alpha().await;
        alpha.settle().await;
        alpha.engine.claim(&ada, "open sesame").await.unwrap();
        let granted = expected(&alpha, 1, &ada).await;
        let all = AlphaContract::manifest().permissions.len() - 1;
        assert_eq!(
            granted.iter().filter(|(.., granted)| *granted).count(),
            all,
            "{messages}"
        );
        alpha.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_replicas_of_the_cluster_stay() {
    let (world, alpha) = cluster().await;
    claimable(&world, &alpha).await;
    let error = alpha.engine.unload(1).await.unwrap_err();
    assert_eq!(error.message(), "alpha is part of the cluster itself");
}
