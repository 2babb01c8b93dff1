//! Who may do what, and what those see who may not.

use jazz::{LoadError, Node, Role, WriteError};

use crate::support::{SOON, client, note, offline, shared};

fn assert_not_allowed(result: Result<impl std::fmt::Debug, WriteError>, node: &Node, role: Option<Role>) {
    match result {
        Err(WriteError::NotAllowed {
            account, role: found, ..
        }) => {
            assert_eq!((&account, found), (node.account_id(), role));
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn readers_read_and_writers_write() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let map = alice.create(&group, note("a")).unwrap();
    let list = alice.create_list(&group, [1]).unwrap();
    let seen = bob.load(&map.reference()).await.unwrap();
    assert_eq!(seen.get().unwrap(), note("a"));
    assert_eq!(seen.my_role(), Some(Role::Reader));
    assert_not_allowed(seen.update(|note| note.likes = 1), &bob, Some(Role::Reader));
    assert_not_allowed(bob.create(&seen.owner(), note("b")), &bob, Some(Role::Reader));
    let seen_list = bob.load(&list.reference()).await.unwrap();
    assert_not_allowed(seen_list.push(&2), &bob, Some(Role::Reader));
    assert_eq!(seen.get().unwrap(), note("a"), "nothing was written");

    group.add_member(bob.account_id(), Role::Writer).await.unwrap();
    let mut roles = bob.load_group(group.id()).await.unwrap().subscribe();
    roles
        .wait_for(|members| members.iter().any(|member| member.role == Role::Writer))
        .await
        .unwrap()
        .unwrap();
    seen.update(|note| note.likes = 1).unwrap();
    let mut changes = map.subscribe();
    assert_eq!(
        changes
            .wait_for(|note| note.likes == 1)
            .await
            .unwrap()
            .unwrap()
            .text,
        "a"
    );
}

#[tokio::test]
async fn strangers_are_not_authorised() {
    let (server, alice, _, group) = shared(Role::Reader).await;
    let map = alice.create(&group, note("a")).unwrap();
    let eve = client(&server, "Eve").await;
    alice.wait_for_sync(SOON).await.unwrap();
    assert_eq!(
        eve.load(&map.reference()).await,
        Err(LoadError::Unauthorised(map.id().clone()))
    );
    assert_not_allowed(
        eve.create(&eve.load_group(group.id()).await.unwrap(), note("b")),
        &eve,
        None,
    );
}

#[tokio::test]
async fn a_removed_member_reads_no_more() {
    let (_server, alice, bob, group) = shared(Role::Reader).await;
    let map = alice.create(&group, note("a")).unwrap();
    let seen = bob.load(&map.reference()).await.unwrap();
    let mut changes = seen.subscribe();
    assert!(changes.next().await.unwrap().is_ok());
    group.remove_member(bob.account_id()).await.unwrap();
    map.update(|note| note.text = "secret".into()).unwrap();
    let refused = loop {
        match changes.next().await.unwrap() {
            Ok(seen) => assert_eq!(seen.text, "a"),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, LoadError::Unauthorised(map.id().clone()));
    assert_eq!(group.role_of(bob.account_id()), None);
}

#[tokio::test]
async fn everybody_and_parents_give_roles() {
    let server = jazz::LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    let open = alice.create_group().unwrap();
    open.set_everyone(Role::Reader).unwrap();
    assert_eq!(open.everyone(), Some(Role::Reader));
    assert!(matches!(
        open.set_everyone(Role::Admin),
        Err(WriteError::InvalidEveryoneRole(Role::Admin))
    ));
    let public = alice.create(&open, note("public")).unwrap();

    let team = alice.create_group().unwrap();
    team.add_member(bob.account_id(), Role::Manager).await.unwrap();
    let child = alice.create_group().unwrap();
    child.extend(&team).await.unwrap();
    let inherited = alice.create(&child, note("inherited")).unwrap();
    assert_eq!(child.role_of(bob.account_id()), Some(Role::Manager));
    assert_eq!(child.parents().unwrap(), [team.reference()]);

    assert_eq!(
        bob.load(&public.reference()).await.unwrap().get().unwrap().text,
        "public"
    );
    assert_eq!(
        bob.load(&inherited.reference())
            .await
            .unwrap()
            .get()
            .unwrap()
            .text,
        "inherited"
    );

    child.revoke_extend(&team).await.unwrap();
    assert_eq!(child.role_of(bob.account_id()), None);
    open.remove_everyone().await.unwrap();
    assert_eq!((open.everyone(), open.role_of(bob.account_id())), (None, None));
    let self_parent = child.extend(&child).await;
    assert!(
        matches!(self_parent, Err(WriteError::InvalidParent(_))),
        "{self_parent:?}"
    );
}

#[tokio::test]
async fn write_only_members_read_only_their_own() {
    let (_server, alice, bob, group) = shared(Role::WriteOnly).await;
    let foreign = alice.create(&group, note("alice's")).unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let group_of_bob = bob.load_group(group.id()).await.unwrap();
    let own = bob.create(&group_of_bob, note("bob's")).unwrap();
    assert_eq!(own.get().unwrap().text, "bob's");
    assert_eq!(
        alice.load(&own.reference()).await.unwrap().get().unwrap().text,
        "bob's"
    );
    let hidden = bob.load(&foreign.reference()).await.unwrap();
    assert!(
        matches!(hidden.get(), Err(LoadError::Schema(_))),
        "no field can be seen"
    );
}

#[tokio::test]
async fn invites_make_members() {
    let server = jazz::LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    let group = alice.create_group().unwrap();
    let map = alice.create(&group, note("a")).unwrap();
    let invite = group.create_invite(Role::Writer).await.unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let joined = bob.accept_invite(group.id(), &invite).await.unwrap();
    assert_eq!(joined.my_role(), Some(Role::Writer));
    bob.load(&map.reference())
        .await
        .unwrap()
        .update(|note| note.likes = 7)
        .unwrap();
    map.subscribe()
        .wait_for(|note| note.likes == 7)
        .await
        .unwrap()
        .unwrap();
    let foreign = jazz::InviteSecret::from_bytes([7; 32]);
    let refused = client(&server, "Eve")
        .await
        .accept_invite(group.id(), &foreign)
        .await;
    assert!(matches!(refused, Err(WriteError::NotAllowed { .. })));
}

#[tokio::test]
async fn members_are_listed_with_their_direct_roles() {
    let (_server, alice, bob, group) = shared(Role::Writer).await;
    let mut members: Vec<_> = group
        .members()
        .unwrap()
        .into_iter()
        .map(|m| (m.account, m.role))
        .collect();
    members.sort_by_key(|(account, _)| account != alice.account_id());
    let expected = [
        (alice.account_id().clone(), Role::Admin),
        (bob.account_id().clone(), Role::Writer),
    ];
    assert_eq!(members, expected);
}

#[tokio::test]
async fn an_account_that_nobody_has_can_not_become_a_member() {
    let node = offline().await;
    let group = node.create_group().unwrap();
    let stranger = offline().await.account_id().clone();
    let refused = group.add_member(&stranger, Role::Reader).await;
    assert!(
        matches!(refused, Err(WriteError::Load(LoadError::Unavailable(_)))),
        "{refused:?}"
    );
    assert_eq!(group.role_of(&stranger), None);
}

#[tokio::test]
async fn values_of_the_account_itself_are_private() {
    let server = jazz::LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    let map = alice.create(&alice.account(), note("mine")).unwrap();
    assert_eq!(map.get().unwrap().text, "mine");
    map.update(|note| note.likes = 1).unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    assert!(matches!(
        bob.load(&map.reference()).await,
        Err(LoadError::Unauthorised(_))
    ));
}
