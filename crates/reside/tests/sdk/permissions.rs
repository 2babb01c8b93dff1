//! Permission reconciliation: what handlers see, what checks say, and what survives faults and restarts.

use std::time::Duration;

use reside::{
    BoxError, HANDLER_TIMEOUT, HandlerFailures,
    prelude::*,
    rcb::{Expected, Grant, PermissionEntry, UserPermission, UserPermissions},
    rpc::Code,
    testing::{Cluster, TestReplica},
};

use crate::support::{DoorsContract, OpenDoor, definition, events, run};

fn check(doors: &TestReplica, account: &AccountId, door: &str) -> Result<bool, BoxError> {
    Ok(doors
        .replica()
        .implementation::<DoorsContract>()?
        .check(account, &OpenDoor::new(door)))
}

#[tokio::test]
async fn handlers_see_each_change_once() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    cluster
        .grant(&doors, ada.id(), &OpenDoor::new("red").times(1))
        .await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("blue")).await?;
    cluster
        .grant(&doors, ada.id(), &OpenDoor::new("red").times(1))
        .await?;
    cluster
        .grant(&doors, ada.id(), &OpenDoor::new("red").times(2))
        .await?;
    cluster
        .revoke(&doors, ada.id(), &OpenDoor::new("red").times(2))
        .await?;
    cluster
        .revoke(&doors, ada.id(), &OpenDoor::new("red").times(2))
        .await?;
    assert_eq!(
        events(doors.replica()).await?,
        [
            "granted red 1",
            "granted blue 0",
            "updated red 1 2",
            "revoked red 2"
        ]
    );
    assert!(!check(&doors, ada.id(), "red")?);
    assert!(check(&doors, ada.id(), "blue")?);
    assert!(!check(&doors, doors.account_id(), "blue")?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_is_retried_and_stops_no_other() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let data = doors.replica().implementation::<DoorsContract>()?.data().clone();
    data.update(|data| {
        data.broken = vec!["a".to_owned()];
        data.cursed = vec!["b".to_owned()];
        data.stuck = vec!["c".to_owned()];
    })?;
    let mut entries = Vec::new();
    for door in ["a", "b", "c"] {
        let permission = OpenDoor::new(door);
        let expected = Expected::granted(permission.params()?);
        entries.push(cluster.expect(&doors, ada.id(), &permission, expected).await?);
    }
    let bob = cluster.account("bob").await?;
    cluster.grant(&doors, bob.id(), &OpenDoor::new("d")).await?;
    // Nobody else waits for a handler that hangs; the same account does, but not for ever.
    let permission = OpenDoor::new("e");
    let entry = cluster
        .expect(
            &doors,
            ada.id(),
            &permission,
            Expected::granted(permission.params()?),
        )
        .await?;
    tokio::time::sleep(HANDLER_TIMEOUT * 3).await;
    cluster.wait_until_settled(&entry).await?;
    let seen = events(doors.replica()).await?;
    assert!(
        seen.iter()
            .filter(|event| *event == "failed to: granted a 0")
            .count()
            > 1,
        "{seen:?}"
    );
    for door in ["a", "b", "c"] {
        assert!(!check(&doors, ada.id(), door)?, "{door}");
    }

    data.update(|data| (data.broken, data.cursed, data.stuck) = Default::default())?;
    tokio::time::sleep(Duration::from_secs(600)).await;
    for (door, entry) in ["a", "b", "c"].iter().zip(&entries) {
        cluster.wait_until_settled(entry).await?;
        assert!(check(&doors, ada.id(), door)?, "{door}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_revocation_counts_before_its_handler_has_run() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let permission = OpenDoor::new("red");
    cluster.grant(&doors, ada.id(), &permission).await?;
    doors
        .replica()
        .implementation::<DoorsContract>()?
        .data()
        .update(|data| data.stuck.push("red".to_owned()))?;

    let entry = cluster
        .expect(
            &doors,
            ada.id(),
            &permission,
            Expected::revoked(permission.params()?),
        )
        .await?;
    let seen = doors.replica().node().load(&entry.reference()).await?;
    seen.subscribe().wait_for(|entry| !entry.expected.granted).await;
    assert!(seen.get()?.current.is_some_and(|current| current.granted));
    assert!(!check(&doors, ada.id(), "red")?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_grant_ends_when_its_time_is_over() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let hour = Duration::from_secs(3600);
    cluster
        .grant_for(&doors, ada.id(), &OpenDoor::new("red"), hour)
        .await?;
    let provider = ada.provider::<DoorsContract>(&doors);
    provider
        .wait_for_permission(&OpenDoor::new("red"), Duration::from_secs(10))
        .await?;
    assert!(check(&doors, ada.id(), "red")?);

    tokio::time::advance(hour).await;
    assert!(!check(&doors, ada.id(), "red")?);
    assert!(!provider.check_permission(&OpenDoor::new("red")).await?);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(events(doors.replica()).await?, ["granted red 0", "revoked red 0"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_grant_ends_while_the_replica_that_granted_it_is_down() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let (red, hour) = (OpenDoor::new("red"), Duration::from_secs(3600));
    cluster.grant_for(&doors, ada.id(), &red, hour).await?;
    let provider = ada.provider::<DoorsContract>(&doors);
    provider
        .wait_for_permission(&red, Duration::from_secs(10))
        .await?;
    doors.stop().await?;

    tokio::time::advance(hour - Duration::from_millis(1)).await;
    assert!(provider.check_permission(&red).await?, "a moment before the end");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!provider.check_permission(&red).await?, "nobody had to be awake");
    assert!(provider.permission_instances::<OpenDoor>().await?.is_empty());

    let doors = cluster.restart(doors, definition(), run).await?;
    assert!(!check(&doors, ada.id(), "red")?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(events(doors.replica()).await?, ["granted red 0", "revoked red 0"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_is_seen_until_it_succeeds() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let data = doors.replica().implementation::<DoorsContract>()?.data().clone();
    data.update(|data| data.broken.push("red".to_owned()))?;
    let red = OpenDoor::new("red");
    let entry = cluster
        .expect(&doors, ada.id(), &red, Expected::granted(red.params()?))
        .await?;
    let failures = HandlerFailures::open(doors.control_block()).await?;
    let key = entry.get()?.key();
    let failed = |attempts: u32| {
        let (failures, key) = (&failures, &key);
        async move {
            loop {
                match failures.get(key)? {
                    Some(failure) if failure.attempts >= attempts => return Ok::<_, BoxError>(failure),
                    _ => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
    };
    let first = failed(1).await?;
    assert_eq!(first.message, "broken");
    assert!(first.retry_at > first.since);
    let later = failed(3).await?;
    assert_eq!(later.since, first.since);
    assert!(later.retry_at > first.retry_at);

    data.update(|data| data.broken.clear())?;
    tokio::time::sleep(Duration::from_secs(600)).await;
    cluster.wait_until_settled(&entry).await?;
    while failures.get(&key)?.is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_taken_out_can_come_back() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let red = OpenDoor::new("red");
    let grant = Grant::of(ada.id(), &red)?;
    let block = doors.control_block();
    cluster.grant(&doors, ada.id(), &red).await?;
    ControlBlock::forget(block, &grant, cluster.clock().now()).await?;
    assert!(check(&doors, ada.id(), "red")?, "what counts stays");

    for round in 0..5 {
        cluster.revoke(&doors, ada.id(), &red).await?;
        ControlBlock::forget(block, &grant, cluster.clock().now()).await?;
        let permissions = block.node().load(&block.get()?.permissions).await?;
        assert_eq!(permissions.get(grant.entry_key())?, None, "{round}");
        cluster.grant(&doors, ada.id(), &red).await?;
        while !check(&doors, ada.id(), "red")? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn entries_that_make_no_sense_are_left_alone() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let good = Grant::of(ada.id(), &OpenDoor::new("red"))?;
    let params = OpenDoor::new("red").params()?;
    let other_contract = "ghcr.io/exeteres/reside/contracts/other.v1".parse()?;
    let bad = [
        Grant {
            identity: other_contract,
            ..good.clone()
        },
        Grant {
            name: "door:close".to_owned(),
            ..good.clone()
        },
        Grant {
            instance_id: Some("blue".to_owned()),
            ..good.clone()
        },
        Grant {
            instance_id: None,
            ..good.clone()
        },
    ];
    for grant in bad {
        ControlBlock::expect(doors.control_block(), &grant, Expected::granted(params.clone())).await?;
    }
    // An entry under the key of another one: what it says about itself doesn't count.
    let block = doors.control_block().get()?;
    let permissions = doors.control_block().node().load(&block.permissions).await?;
    let entry = permissions.get(
        Grant {
            name: "door:close".to_owned(),
            ..good.clone()
        }
        .entry_key(),
    )?;
    permissions.insert(
        Grant::of(ada.id(), &OpenDoor::new("green"))?.entry_key(),
        &entry.ok_or("no entry")?,
    )?;

    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    assert_eq!(events(doors.replica()).await?, ["granted red 0"]);
    assert!(!check(&doors, ada.id(), "green")?);
    assert!(!check(&doors, ada.id(), "blue")?);
    Ok(())
}

#[tokio::test]
async fn an_entry_that_leaves_the_control_block_is_revoked() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    let block = doors.control_block().get()?;
    let permissions = doors.control_block().node().load(&block.permissions).await?;
    permissions.remove(Grant::of(ada.id(), &OpenDoor::new("red"))?.entry_key())?;

    let data = doors.replica().implementation::<DoorsContract>()?.data().get()?;
    let mut seen = doors.replica().node().load(&data.events).await?.subscribe();
    seen.wait_for(|events| events.last().is_some_and(|event| event == "revoked red 0"))
        .await;
    assert!(!check(&doors, ada.id(), "red")?);
    Ok(())
}

#[tokio::test]
async fn a_restart_repeats_nothing_and_makes_up_for_what_was_missed() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    cluster.grant(&doors, ada.id(), &OpenDoor::new("blue")).await?;
    let doors = cluster
        .restart(doors, definition(), |replica| async move {
            // From the first moment on.
            assert_eq!(events(&replica).await?, ["granted red 0", "granted blue 0"]);
            run(replica).await
        })
        .await?;
    assert!(check(&doors, ada.id(), "red")?);

    let missed = Expected::revoked(OpenDoor::new("blue").params()?);
    doors.stop().await?;
    let grant = Grant::of(ada.id(), &OpenDoor::new("blue"))?;
    let entry = ControlBlock::expect(doors.control_block(), &grant, missed).await?;
    let doors = cluster.restart(doors, definition(), run).await?;
    cluster.wait_until_settled(&entry).await?;
    assert_eq!(
        events(doors.replica()).await?,
        ["granted red 0", "granted blue 0", "revoked blue 0"]
    );
    Ok(())
}

#[tokio::test]
async fn grants_are_published_to_the_account_alone() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let (ada, bob) = (cluster.account("ada").await?, cluster.account("bob").await?);
    let (red, blue) = (OpenDoor::new("red").times(3), OpenDoor::new("blue"));
    cluster.grant(&doors, ada.id(), &red).await?;
    cluster.grant(&doors, ada.id(), &blue).await?;
    let provider = ada.provider::<DoorsContract>(&doors);
    provider
        .wait_for_permission(&red, Duration::from_secs(10))
        .await?;
    provider
        .wait_for_permission(&blue, Duration::from_secs(10))
        .await?;
    let mut instances = provider.permission_instances::<OpenDoor>().await?;
    instances.sort_by(|one, other| one.door.cmp(&other.door));
    assert_eq!(instances, [blue.clone(), red.clone()]);
    assert!(!provider.check_permission(&OpenDoor::new("green")).await?);
    assert!(
        bob.provider::<DoorsContract>(&doors)
            .permission_instances::<OpenDoor>()
            .await?
            .is_empty()
    );

    let profile = bob.connector().profile(doors.account_id()).await?.get()?;
    let index = bob.node().load(&profile.grants.ok_or("no grants")?).await?;
    let of_ada = index.get(ada.id().as_str())?.ok_or("no grants of Ada")?;
    assert!(bob.node().load(&of_ada).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_named_for_programs() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let client = ada.client::<DoorsContract>(&doors);
    let error = match client.open(OpenDoor::new("red")).await {
        Err(CallError::Refused(error)) => error,
        other => return Err(format!("{other:?}").into()),
    };
    assert_eq!(error.code(), Code::NoPermission);
    let expected = serde_json::json!({
        "contract": "ghcr.io/exeteres/reside/contracts/doors.v1",
        "permission": "door:open",
        "params": {"door": "red", "times": 0},
    });
    assert_eq!(error.details(), Some(&expected));
    cluster.grant(&doors, ada.id(), &OpenDoor::new("red")).await?;
    assert_eq!(client.open(OpenDoor::new("red")).await?, "doors opened red");
    Ok(())
}

#[test]
fn only_what_is_expected_and_carried_out_counts() {
    let now = Timestamp(1_000);
    let params = |times: u32| OpenDoor::new("red").times(times).params().expect("params");
    let entry = |expected: Expected, current: Option<(bool, u32)>| PermissionEntry {
        identity: "ghcr.io/exeteres/reside/contracts/doors.v1"
            .parse()
            .expect("an identity"),
        name: "door:open".to_owned(),
        account: "co_zUXqwLRRnR9CANMAEcYkLV6wVMd".parse().expect("an account id"),
        instance_id: Some("red".to_owned()),
        expected,
        current: current.map(|(granted, times)| reside::rcb::Current {
            granted,
            params: params(times),
        }),
    };
    let until = |end| Expected {
        expires_at: Some(Timestamp(end)),
        ..Expected::granted(params(1))
    };
    for (expected, current, effective, settled) in [
        (Expected::granted(params(1)), None, false, false),
        (Expected::granted(params(1)), Some((true, 1)), true, true),
        (Expected::granted(params(1)), Some((true, 2)), false, false),
        (Expected::granted(params(1)), Some((false, 1)), false, false),
        (Expected::revoked(params(1)), Some((true, 1)), false, false),
        (Expected::revoked(params(1)), Some((false, 1)), false, true),
        (Expected::revoked(params(1)), None, false, false),
        (until(1_001), Some((true, 1)), true, true),
        (until(1_000), Some((true, 1)), false, false),
        (until(1_000), Some((false, 1)), false, true),
    ] {
        let entry = entry(expected, current);
        assert_eq!(
            (entry.is_effective(now), entry.is_settled(now)),
            (effective, settled),
            "{entry:?}"
        );
    }
}

/// Says what a user should be able to do, as the user manager does, and waits until the replica has carried it out.
async fn expect_of_user(
    doors: &TestReplica,
    user: &AccountId,
    permission: &OpenDoor,
    expected: Expected,
) -> Result<UserPermissions, BoxError> {
    let users = UserPermissions::open(doors.control_block()).await?;
    let grant = Grant::of(user, permission)?;
    let key = grant.entry_key();
    users
        .expected
        .insert(&key, &UserPermission::new(grant, expected.clone()))?;
    let mut current = users.current.subscribe();
    let is_carried_out = |done: &UserPermission| {
        let done = &done.expected;
        done.granted == expected.granted && (!done.granted || done.params == expected.params)
    };
    let carried_out = current.wait_for(|current| current.get(&key).is_some_and(is_carried_out));
    tokio::time::timeout(Duration::from_secs(10), carried_out).await?;
    Ok(users)
}

#[tokio::test]
async fn what_users_may_do_is_carried_out_beside_what_alpha_grants() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let red = |times| OpenDoor::new("red").times(times);
    let granted = |times| red(times).params().map(Expected::granted);
    let revoked = red(1).params().map(Expected::revoked);

    let users = expect_of_user(&doors, ada.id(), &red(1), granted(1)?).await?;
    assert!(check(&doors, ada.id(), "red")?);
    ada.provider::<DoorsContract>(&doors)
        .wait_for_permission(&red(1), Duration::from_secs(10))
        .await?;
    // Alpha's params count; without Alpha the user's do again.
    cluster.grant(&doors, ada.id(), &red(2)).await?;
    expect_of_user(&doors, ada.id(), &red(3), granted(3)?).await?;
    cluster.revoke(&doors, ada.id(), &red(2)).await?;
    assert!(check(&doors, ada.id(), "red")?);
    expect_of_user(&doors, ada.id(), &red(3), revoked?).await?;
    assert!(!check(&doors, ada.id(), "red")?);
    let seen = [
        "granted red 1",
        "updated red 1 2",
        "updated red 2 3",
        "revoked red 3",
    ];
    assert_eq!(events(doors.replica()).await?, seen);

    // What leaves the record is revoked, also while the replica doesn't run, and a restart repeats nothing.
    expect_of_user(
        &doors,
        ada.id(),
        &OpenDoor::new("blue"),
        Expected::granted(OpenDoor::new("blue").params()?),
    )
    .await?;
    let doors = cluster.restart(doors, definition(), run).await?;
    assert!(check(&doors, ada.id(), "blue")?);
    doors.stop().await?;
    users
        .expected
        .remove(Grant::of(ada.id(), &OpenDoor::new("blue"))?.entry_key())?;
    let doors = cluster.restart(doors, definition(), run).await?;
    assert!(!check(&doors, ada.id(), "blue")?);
    let data = doors.replica().implementation::<DoorsContract>()?.data().get()?;
    let mut seen = doors.replica().node().load(&data.events).await?.subscribe();
    let revoked = seen.wait_for(|events| events.last().is_some_and(|event| event == "revoked blue 0"));
    let events = revoked.await.ok_or("the replica has ended")??;
    assert_eq!(events.len(), 6, "{events:?}");
    Ok(())
}

#[tokio::test]
async fn permissions_whose_keys_are_alike_stay_apart() -> Result<(), BoxError> {
    let cluster = Cluster::new().await?;
    let doors = cluster.add(definition(), run).await?;
    let ada = cluster.account("ada").await?;
    let red = Grant::of(ada.id(), &OpenDoor::new("red"))?;
    let like_red = Grant {
        name: "door:open:red".to_owned(),
        instance_id: None,
        ..red.clone()
    };
    assert_eq!(red.entry_key(), like_red.entry_key());
    let granted = Expected::granted(OpenDoor::new("red").params()?);
    ControlBlock::expect(doors.control_block(), &like_red, granted.clone()).await?;
    assert!(
        ControlBlock::expect(doors.control_block(), &red, granted.clone())
            .await
            .is_err()
    );
    // The user manager's word for the one doesn't become the other.
    expect_of_user(&doors, ada.id(), &OpenDoor::new("red"), granted).await?;
    assert!(check(&doors, ada.id(), "red")?);
    cluster.grant(&doors, ada.id(), &OpenDoor::new("blue")).await?;
    assert_eq!(
        events(doors.replica()).await?,
        ["granted red 0", "granted blue 0"]
    );
    Ok(())
}
