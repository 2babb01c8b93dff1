//! Values that are deleted.

use jazz::{Co, CoId, CoValue, FileInfo, LoadError, Ref, Role, WriteError};

use crate::support::{client, note, shared};

/// Deletes a value; who has it, and who asks for it later, is told so.
async fn is_gone<T: CoValue>(server: &jazz::LocalServer, value: Co<T>, seen: Co<T>, late: &jazz::Node) {
    let deleted = |id: &CoId| LoadError::Deleted(id.clone());
    let mut changes = seen.subscribe();
    value.delete().unwrap();
    loop {
        if changes
            .next()
            .await
            .unwrap()
            .is_err_and(|error| error == deleted(value.id()))
        {
            break;
        }
    }
    let reference = Ref::<T>::new(value.id().clone());
    for node in [value.node(), seen.node(), late] {
        assert_eq!(node.load(&reference).await.err(), Some(deleted(value.id())));
    }
    // Nothing but the deletion is told of it.
    let known = server
        .driver()
        .with(|core, _| core.known_state(value.id()).sessions);
    assert_eq!(known.len(), 1, "{known:?}");
    assert!(known.keys().all(|session| session.is_delete()));
}

#[tokio::test]
async fn a_deleted_value_of_any_kind_is_gone_for_everybody() {
    let (server, alice, bob, group) = shared(Role::Writer).await;
    let late = client(&server, "Carol").await;
    group.add_member(late.account_id(), Role::Reader).await.unwrap();
    macro_rules! check {
        ($value:expr) => {
            let value = $value;
            let seen = bob.load(&value.reference()).await.unwrap();
            is_gone(&server, value, seen, &late).await;
        };
    }
    check!(alice.create(&group, note("a")).unwrap());
    check!(alice.create_record(&group, [("k", 1)]).unwrap());
    check!(alice.create_list(&group, [1]).unwrap());
    check!(alice.create_feed(&group, [1]).unwrap());
    check!(alice.create_text(&group, "text").unwrap());
    check!(alice.create_vector(&group, &[1.0]).unwrap());
    let info = FileInfo::new("text/plain");
    check!(alice.create_file(&group, info, &b"bytes"[..]).await.unwrap());
}

#[tokio::test]
async fn only_an_admin_deletes_and_nothing_is_written_afterwards() {
    let (_server, alice, bob, group) = shared(Role::Manager).await;
    let feed = alice.create_feed(&group, [1]).unwrap();
    let seen = bob.load(&feed.reference()).await.unwrap();
    assert!(matches!(seen.delete(), Err(WriteError::NotAllowed { .. })));
    feed.delete().unwrap();
    for result in [feed.push(&2), feed.delete()] {
        assert!(
            matches!(&result, Err(WriteError::Load(LoadError::Deleted(id))) if id == feed.id()),
            "{result:?}"
        );
    }
    assert!(matches!(
        alice.account().delete(),
        Err(WriteError::NotAllowed { .. })
    ));
}
