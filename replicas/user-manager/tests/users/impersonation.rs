//! Acting as a managed user, and what is left of it afterwards: nothing.

use std::sync::Arc;

use parking_lot::Mutex;
use reside::Session;
use reside::prelude::*;
use reside::testing::TestReplica;
use user_manager_v1::{
    ImpersonateUsers, RealmDefinition, RealmHandle, User, UserCredentials, UserManagerContract, define_realm,
    use_realm,
};

use crate::support::*;

fn guests() -> RealmDefinition {
    define_realm(
        "{replica.name}-guests",
        DisplayInfo::default()
            .with("en", "Guests", "Who came by")
            .with("ru", "Гости", "Кто заходил"),
    )
}

fn hotel() -> ReplicaDefinition {
    ReplicaDefinition::new("example.org/replicas/hotel", Info::long_running("hotel"))
        .en("Hotel", "Receives guests")
        .requires::<UserManagerContract>("users", |users| guests().permissions(users))
        .requires::<DoorsContract>("doors", |doors| doors)
}

/// A hotel with a guest who may open the red door.
struct Hotel {
    world: World,
    replica: TestReplica,
    guests: RealmHandle,
    ada: Co<User>,
}

impl Hotel {
    async fn new() -> Result<Self, BoxError> {
        let world = World::new().await?;
        let replica = world
            .cluster
            .add(hotel(), |replica| async move {
                replica.shutdown_requested().await;
                Ok(())
            })
            .await?;
        let inside = replica.replica();
        let guests = guests().init(inside, &inside.requirement("users")?).await?;
        assert_eq!(guests.name(), "hotel-guests");
        let ada = guests.create_user("Ada").await?;
        let id = ada.get()?.id;
        assert!(
            world
                .client(&world.admin)
                .grant_permission(change(id, "red"))
                .await?
                .applied
        );
        Ok(Self {
            world,
            replica,
            guests,
            ada,
        })
    }

    fn doors(&self) -> Result<Requirement<DoorsContract>, BoxError> {
        Ok(self.replica.replica().requirement("doors")?)
    }
}

/// What a closure has kept of its session.
type Kept = Arc<Mutex<Option<(Arc<Session>, Node, DoorsClient)>>>;

/// Keeps everything that can be kept.
fn keep(kept: &Kept, session: &Arc<Session>, doors: &Requirement<DoorsContract>) -> Result<(), BoxError> {
    let client = session.client(doors)?;
    *kept.lock() = Some((session.clone(), session.node().clone(), client));
    Ok(())
}

/// Checks that nothing that was kept works any more, and that no key is left.
async fn assert_logged_out(kept: &Kept) -> Result<(), BoxError> {
    let (session, node, client) = kept.lock().take().ok_or("nothing was kept")?;
    for node in [session.node(), &node] {
        assert!(node.credentials().is_none());
        assert!(node.create_group().is_err());
        assert!(!node.is_connected());
    }
    let refused = client.open(door("red")).await;
    assert!(matches!(refused, Err(CallError::Local(_))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_closure_acts_with_the_permissions_of_the_user_and_with_none_of_the_replica()
-> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let (doors, account) = (hotel.doors()?, hotel.ada.get()?.account);
    hotel
        .world
        .cluster
        .grant(&hotel.world.doors, hotel.replica.account_id(), &door("blue"))
        .await?;
    let kept = Kept::default();
    let note = hotel
        .guests
        .impersonate(&hotel.ada, |ada| {
            let (doors, kept) = (doors.clone(), kept.clone());
            async move {
                keep(&kept, &ada, &doors)?;
                let client = ada.client(&doors)?;
                assert_eq!(client.open(door("red")).await?, ada.account_id().to_string());
                assert!(client.open(door("blue")).await.is_err());
                let group = ada.node().create_group()?;
                group.set_everyone(Role::Reader)?;
                Ok(ada.node().create_list(&group, ["hello".to_owned()])?.reference())
            }
        })
        .await?;
    assert_logged_out(&kept).await?;
    // What it wrote is there.
    let note = hotel.replica.replica().node().load(&note).await?;
    assert_eq!(note.items()?, ["hello"]);
    assert_eq!(note.owner().role_of(&account), Some(Role::Admin));
    // And the replica is itself.
    assert_eq!(
        doors.client().open(door("blue")).await?,
        hotel.replica.account_id().to_string()
    );
    Ok(())
}

#[tokio::test]
async fn an_error_logs_out() -> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let (doors, kept) = (hotel.doors()?, Kept::default());
    let result: Result<(), _> = hotel
        .guests
        .impersonate(&hotel.ada, |ada| {
            let kept = keep(&kept, &ada, &doors);
            async move {
                kept?;
                Err("something went wrong".into())
            }
        })
        .await;
    assert_eq!(result.expect_err("an error").to_string(), "something went wrong");
    assert_logged_out(&kept).await
}

#[tokio::test]
async fn a_panic_logs_out() -> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let (doors, kept) = (hotel.doors()?, Kept::default());
    let (guests, ada, keeping) = (hotel.guests.clone(), hotel.ada.clone(), kept.clone());
    let panicked = tokio::spawn(async move {
        let act = |ada: Arc<Session>| async move {
            keep(&keeping, &ada, &doors)?;
            if ada.account_id().as_str().starts_with("co_") {
                panic!("on purpose");
            }
            Ok(())
        };
        guests.impersonate(&ada, act).await
    });
    assert!(panicked.await.is_err_and(|error| error.is_panic()));
    assert_logged_out(&kept).await
}

#[tokio::test]
async fn giving_up_logs_out() -> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let (doors, kept) = (hotel.doors()?, Kept::default());
    let (started, starting) = tokio::sync::oneshot::channel();
    let act = |ada: Arc<Session>| {
        let kept = keep(&kept, &ada, &doors);
        async move {
            kept?;
            started.send(()).map_err(|()| "nobody waits")?;
            std::future::pending::<()>().await;
            Ok(())
        }
    };
    tokio::select! {
        _ = hotel.guests.impersonate(&hotel.ada, act) => panic!("it ended"),
        result = starting => result?,
    }
    assert_logged_out(&kept).await
}

#[tokio::test]
async fn credentials_are_for_those_alone_who_may_impersonate_the_realm() -> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let (world, manager) = (&hotel.world, &hotel.world.users.manager);
    let credentials = hotel.ada.get()?.credentials.ok_or("no credentials")?;
    // Not even those who see all users, or manage their permissions.
    let bob = world.cluster.account("bob").await?;
    world
        .cluster
        .grant(manager, bob.id(), &user_manager_v1::ReadUsers {})
        .await?;
    for account in [&bob, &world.admin] {
        assert!(account.node().load(&hotel.ada.reference()).await.is_ok());
        assert!(account.node().load(&credentials).await.is_err());
    }
    let other = ImpersonateUsers {
        realm_name: "others".to_owned(),
    };
    world.cluster.grant(manager, bob.id(), &other).await?;
    assert!(bob.node().load(&credentials).await.is_err());

    let permission = ImpersonateUsers {
        realm_name: "hotel-guests".to_owned(),
    };
    world.cluster.grant(manager, bob.id(), &permission).await?;
    let read: UserCredentials = bob.node().load(&credentials).await?.get()?;
    assert!(!format!("{read:?}").contains("Secret_z"));
    // Who may no more reads nothing of users that come later.
    world.cluster.revoke(manager, bob.id(), &permission).await?;
    let eve = hotel.guests.create_user("Eve").await?.get()?;
    let later = eve.credentials.ok_or("no credentials")?;
    assert!(bob.node().load(&later).await.is_err());
    assert!(hotel.replica.replica().node().load(&later).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn another_replica_acts_as_the_users_of_a_realm_it_was_let_into() -> Result<(), BoxError> {
    let hotel = Hotel::new().await?;
    let butler = ReplicaDefinition::new("example.org/replicas/butler", Info::long_running("butler"))
        .en("Butler", "Opens doors for guests")
        .requires::<UserManagerContract>("users", |users| use_realm("hotel-guests").permissions(users))
        .requires::<DoorsContract>("doors", |doors| doors);
    let butler = hotel
        .world
        .cluster
        .add(butler, |replica| async move {
            replica.shutdown_requested().await;
            Ok(())
        })
        .await?;
    let inside = butler.replica();
    let realm = use_realm("hotel-guests")
        .init(inside, &inside.requirement("users")?)
        .await?;
    let ada = realm.user(hotel.ada.get()?.id).await?.ok_or("no such user")?;
    let doors = inside.requirement::<DoorsContract>("doors")?;
    let opened = realm.impersonate(&ada, |ada| async move {
        Ok(ada.client(&doors)?.open(door("red")).await?)
    });
    assert_eq!(opened.await?, hotel.ada.get()?.account.to_string());
    assert!(realm.create_user("Eve").await.is_err());

    // Users who hold their own key can't be acted for.
    let bob = hotel.world.cluster.account("bob").await?;
    hotel.world.register(&bob, "Bob").await?;
    hotel
        .world
        .cluster
        .grant(
            &hotel.world.users.manager,
            inside.account_id(),
            &user_manager_v1::ReadUsers {},
        )
        .await?;
    let users = inside
        .requirement::<UserManagerContract>("users")?
        .data()
        .await?
        .get()?
        .users;
    let users = inside.node().load(&users).await?;
    let mut bobs = users.entries()?.into_values();
    let bob = loop {
        let user = inside.node().load(&bobs.next().ok_or("no Bob")?).await?;
        if user.get()?.name == "Bob" {
            break user;
        }
    };
    let refused = realm.impersonate(&bob, |_| async { Ok(()) }).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("is not managed")));
    Ok(())
}
