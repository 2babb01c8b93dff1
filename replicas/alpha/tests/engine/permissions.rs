//! Who has which permission where, and why; and who administers the cluster.

use alpha::SystemReplica;
use alpha_v1::{AlphaContract, ChangePermission, GrantReason, GrantRecord, ReplicaId};
use jazz::driver::OsEntropy;
use jazz::{AgentSecret, SecretSeed};
use kubernetes_sentinel_v1::KubernetesSentinelContract;
use reside::Contract;
use reside::prelude::*;
use reside::rcb::PermissionEntry;
use reside::rpc::Code;
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
async fn expected(alpha: &Alpha, at: ReplicaId, account: &AccountId) -> Vec<(String, Option<String>, bool)> {
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

async fn grants(alpha: &Alpha) -> Vec<GrantRecord> {
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
    let granted = alpha.engine.grant(&alpha.me(), en()).await.unwrap();
    assert_eq!(granted.replica_ids, [3]);
    assert!(!granted.applied, "no greeter runs");
    let both = grants(&alpha)
        .await
        .into_iter()
        .find(|grant| grant.reasons.len() == 2)
        .unwrap();
    assert!(matches!(
        both.reasons[0],
        GrantReason::Static {
            replica_id: 4,
            version_id: 1
        }
    ));
    alpha.settle().await;

    // Granting again is no third reason; taking it back leaves what the version asks for.
    alpha.engine.grant(&alpha.me(), en()).await.unwrap();
    alpha.engine.revoke(en()).await.unwrap();
    alpha.settle().await;
    assert_eq!(
        expected(&alpha, 3, &account).await,
        [create("en", true), read(true)]
    );
    assert!(grants(&alpha).await.iter().all(|grant| grant.reasons.len() == 1));

    // The other way round.
    alpha.engine.grant(&alpha.me(), en()).await.unwrap();
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
    alpha.engine.revoke(en()).await.unwrap();
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
        .grant(&alpha.me(), change(ada, "greeting:read:all", json!({})))
        .await
        .unwrap();
    assert_eq!(all.replica_ids, [3, 4, 5]);
    let some = ChangePermission {
        replica_ids: Some(vec![4]),
        ..change(ada, "greeting:read:all", json!({}))
    };
    assert_eq!(alpha.engine.revoke(some).await.unwrap().replica_ids, [4]);
    for (at, granted) in [(3, true), (4, false), (5, true)] {
        assert_eq!(expected(&alpha, at, ada).await, [read(granted)]);
    }
    // What was never granted needs no entry to be taken back.
    alpha
        .engine
        .revoke(change(ada, "greeting:create", json!({ "language": "ru" })))
        .await
        .unwrap();
    assert_eq!(expected(&alpha, 3, ada).await, [read(true)]);
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
        let error = alpha.engine.grant(&alpha.me(), asked).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
    alpha.engine.unload(3).await.unwrap();
    let error = alpha.engine.grant(&alpha.me(), good).await.unwrap_err();
    assert_eq!(error.code(), Code::WrongState, "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_to_a_replica_by_hand_goes_with_it() {
    let (world, alpha) = cluster_with_greeter().await;
    let visitor = alpha.load(&world.images.publish(&visitor())).await.replica_id;
    let account = alpha.record(visitor).await.account;
    let ru = change(&account, "greeting:create", json!({ "language": "ru" }));
    alpha.engine.grant(&alpha.me(), ru).await.unwrap();
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
