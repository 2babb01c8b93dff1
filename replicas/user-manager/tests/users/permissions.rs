//! What users may do: their own sets, the default set, and what of it reaches the control blocks.

use std::collections::BTreeMap;

use reside::Contract;
use reside::prelude::*;
use reside::rpc::Code;
use serde_json::json;
use user_manager_v1::{ChangeDefaultPermission, CreateUser, CreateUsers, DefineRealm, ManageRealm, Me};

use crate::support::*;

fn default(which: &str) -> ChangeDefaultPermission {
    let change = change(0, which);
    ChangeDefaultPermission {
        contract: change.contract,
        permission: change.permission,
        params: change.params,
        replica_ids: None,
        expires_at: None,
    }
}

#[tokio::test]
async fn what_a_user_was_granted_it_may_do_until_it_is_revoked() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (admin, ada) = (world.client(&world.admin), world.cluster.account("ada").await?);
    let id = world.register(&ada, "Ada").await?.id;
    let granted = admin.grant_permission(change(id, "red")).await?;
    assert_eq!(
        (granted.replica_ids, granted.applied),
        (vec![world.doors.replica().id()], true)
    );
    assert!(world.opens(&ada, "red").await);
    assert!(!world.opens(&ada, "blue").await);
    assert_eq!(world.client(&ada).me(Me {}).await?.permissions.len(), 1);
    // Alpha's grants and those of users don't know of each other.
    world.cluster.grant(&world.doors, ada.id(), &door("red")).await?;
    assert!(admin.revoke_permission(change(id, "red")).await?.applied);
    assert!(world.opens(&ada, "red").await);
    world.cluster.revoke(&world.doors, ada.id(), &door("red")).await?;
    assert!(!world.opens(&ada, "red").await);
    assert_refused(
        admin.revoke_permission(change(id, "red")).await,
        Code::NotFound,
        "was not granted",
    );
    Ok(())
}

#[tokio::test]
async fn default_permissions_are_for_present_and_future_users_and_replicas() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (admin, ada) = (world.client(&world.admin), world.cluster.account("ada").await?);
    let id = world.register(&ada, "Ada").await?.id;
    assert!(admin.grant_default_permission(default("red")).await?.applied);
    assert!(world.opens(&ada, "red").await);
    let bob = world.cluster.account("bob").await?;
    world.register(&bob, "Bob").await?;
    assert!(world.opens(&bob, "red").await);

    let later = world.cluster.add(doors(), run_doors).await?;
    world.users.loaded(&later, &[DoorsContract::identity()]).await?;
    ada.provider::<DoorsContract>(&later)
        .wait_for_permission(&door("red"), SOON)
        .await?;

    // A user's own grant outlives the default one.
    admin.grant_permission(change(id, "red")).await?;
    admin.revoke_default_permission(default("red")).await?;
    assert!(world.opens(&ada, "red").await);
    assert!(!world.opens(&bob, "red").await);
    assert_refused(
        admin.revoke_default_permission(default("red")).await,
        Code::NotFound,
        "not among the default",
    );
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_why() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (admin, ada) = (world.client(&world.admin), world.cluster.account("ada").await?);
    let id = world.register(&ada, "Ada").await?.id;
    let unknown_contract = "example.org/contracts/none.v1".to_owned();
    let bad = [
        (change(99, "red"), Code::NotFound, "no user 99"),
        (with_params(change(id, "red"), json!({})), Code::Malformed, "door"),
        (
            with_params(change(id, "red"), json!({"door": 1})),
            Code::Malformed,
            "door",
        ),
        (
            with_params(change(id, "red"), json!({"door": "red", "more": 1})),
            Code::Malformed,
            "more",
        ),
        (
            with_params(change(id, "red"), json!([])),
            Code::Malformed,
            "no JSON object",
        ),
    ];
    let mut other = change(id, "red");
    other.permission = "door:paint".to_owned();
    let mut nowhere = change(id, "red");
    nowhere.replica_ids = Some(vec![77]);
    let mut unknown = change(id, "red");
    unknown.contract = unknown_contract;
    let mut broken = change(id, "red");
    broken.contract = "not an identity".to_owned();
    let more = [
        (other, Code::NotFound, "door:open"),
        (nowhere, Code::NotFound, "replica 77"),
        (unknown, Code::NotFound, "not known here"),
        (broken, Code::Malformed, "identity"),
    ];
    for (request, code, says) in bad.into_iter().chain(more) {
        assert_refused(admin.grant_permission(request).await, code, says);
    }
    // And nobody changes permissions who may not, not even their own.
    let ada = world.client(&ada);
    assert_refused(
        ada.grant_permission(change(id, "red")).await,
        Code::NoPermission,
        "user:permission:manage:all",
    );
    assert_refused(
        ada.grant_default_permission(default("red")).await,
        Code::NoPermission,
        "default-permissions:manage",
    );
    assert!(ada.me(Me {}).await?.permissions.is_empty());
    Ok(())
}

#[tokio::test]
async fn two_administrators_who_change_the_same_set_at_once_both_get_their_way() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (ada, bob) = (
        world.cluster.account("ada").await?,
        world.cluster.account("bob").await?,
    );
    let id = world.register(&ada, "Ada").await?.id;
    let permission = user_manager_v1::ManageUserPermissions {};
    world
        .cluster
        .grant(&world.users.manager, bob.id(), &permission)
        .await?;
    let (one, other) = (world.client(&world.admin), world.client(&bob));
    let names: Vec<String> = (0..10).map(|number| format!("door-{number}")).collect();
    let calls = names.iter().enumerate().map(|(number, name)| {
        let client = if number % 2 == 0 { &one } else { &other };
        client.grant_permission(change(id, name))
    });
    for result in futures::future::join_all(calls).await {
        assert!(result?.applied);
    }
    // Granting and revoking the same: whichever came last, what is shown is what holds.
    let (granted, revoked) = tokio::join!(
        one.grant_permission(change(id, "door-0")),
        other.revoke_permission(change(id, "door-0"))
    );
    granted?;
    revoked?;
    let profile = world.client(&ada).me(Me {}).await?;
    let has = |name: &str| {
        profile
            .permissions
            .iter()
            .any(|granted| granted.instance_id.as_deref() == Some(name))
    };
    for name in &names[1..] {
        assert!(has(name) && world.opens(&ada, name).await, "{name}");
    }
    assert_eq!(has("door-0"), world.opens(&ada, "door-0").await);
    Ok(())
}

/// How many transactions the User Manager has written to each control block's record of users.
async fn writes(
    world: &World,
    doors: &[reside::testing::TestReplica],
) -> Result<BTreeMap<u32, usize>, BoxError> {
    let node = world.users.manager.replica().node();
    let mut writes = BTreeMap::new();
    for replica in doors {
        let block = replica.control_block().get()?;
        let id = block.user_permissions.ok_or("no record of users")?.id().clone();
        let count = node.driver().with(|core, _| {
            let log = core.log(&id)?;
            let by_manager =
                |session: &&cojson::ids::SessionId| session.author().account() == Some(node.account_id());
            let sessions = log.sessions().keys().filter(by_manager);
            Some(sessions.map(|session| log.session_len(session)).sum::<usize>())
        });
        writes.insert(replica.replica().id(), count.unwrap_or(0));
    }
    Ok(writes)
}

#[tokio::test]
async fn a_change_for_one_user_writes_that_users_entries_alone_and_a_restart_writes_nothing()
-> Result<(), BoxError> {
    let world = World::new().await?;
    let mut doors_of = Vec::new();
    for _ in 0..3 {
        let replica = world.cluster.add(doors(), run_doors).await?;
        world.users.loaded(&replica, &[DoorsContract::identity()]).await?;
        doors_of.push(replica);
    }
    let (admin, manager) = (world.client(&world.admin), &world.users.manager);
    let may_manage = ManageRealm {
        name: "guests".to_owned(),
    };
    world
        .cluster
        .grant(manager, world.admin.id(), &may_manage)
        .await?;
    let realm_name = || "guests".to_owned();
    world
        .cluster
        .grant(
            manager,
            world.admin.id(),
            &CreateUsers {
                realm_name: realm_name(),
            },
        )
        .await?;
    let display_info = DisplayInfo::default().with("en", "Guests", "");
    admin
        .define_realm(DefineRealm {
            name: realm_name(),
            display_info,
        })
        .await?;
    let mut ids = Vec::new();
    for number in 0..20 {
        let account_name = format!("user {number}");
        ids.push(
            admin
                .create_user(CreateUser {
                    realm_name: realm_name(),
                    account_name,
                })
                .await?
                .user_id,
        );
    }
    for which in ["a", "b", "c", "d"] {
        assert!(admin.grant_default_permission(default(which)).await?.applied);
    }

    let before = writes(&world, &doors_of).await?;
    let mut request = change(ids[7], "own");
    request.replica_ids = Some(vec![doors_of[1].replica().id()]);
    assert!(admin.grant_permission(request.clone()).await?.applied);
    let after = writes(&world, &doors_of).await?;
    let changed = doors_of[1].replica().id();
    for (replica, count) in &after {
        let expected = before[replica] + usize::from(*replica == changed);
        assert_eq!(*count, expected, "replica {replica}");
    }
    // The same once more is no write, and neither is a start.
    assert!(admin.grant_permission(request).await?.applied);
    assert_eq!(writes(&world, &doors_of).await?, after);
    let world = world.restarted().await?;
    world.client(&world.admin).me(Me {}).await?;
    let bob = world.cluster.account("bob").await?;
    world.register(&bob, "Bob").await?;
    let later = writes(&world, &doors_of).await?;
    for (replica, count) in &later {
        assert_eq!(
            *count,
            after[replica] + 1,
            "one transaction for the new user at replica {replica}"
        );
    }
    Ok(())
}
