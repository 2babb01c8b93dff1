//! Who is a user, and in which realm.

use reside::prelude::*;
use reside::rpc::Code;
use user_manager_v1::{
    CreateUser, CreateUsers, DefineRealm, FindRealm, ManageRealm, Me, ReadRealm, ReadRealmUsers, ReadUsers,
    Realm, User, UserManagerContract,
};

use crate::support::*;

fn texts() -> DisplayInfo {
    DisplayInfo::default().with("en", "Guests", "Who came by")
}

#[tokio::test]
async fn an_account_registers_itself_once() -> Result<(), BoxError> {
    let world = World::new().await?;
    let ada = world.cluster.account("ada").await?;
    assert_refused(
        world.client(&ada).me(Me {}).await,
        Code::NotFound,
        "not registered",
    );
    assert_refused(
        world.register(&ada, "a\nb").await,
        Code::Malformed,
        "control character",
    );

    let profile = world.register(&ada, "Ada").await?;
    assert_eq!(
        (profile.id, profile.realm.as_str(), profile.is_managed),
        (2, "default", false)
    );
    assert_eq!(profile.account_id, ada.id().to_string());
    assert!(profile.permissions.is_empty());
    assert_eq!(world.register(&ada, "Somebody else").await?, profile);
    assert_eq!(world.client(&ada).me(Me {}).await?, profile);
    Ok(())
}

#[tokio::test]
async fn the_super_administrator_gets_its_permissions_at_registration() -> Result<(), BoxError> {
    let world = World::new().await?;
    let profile = world.client(&world.admin).me(Me {}).await?;
    let mut names: Vec<_> = profile
        .permissions
        .iter()
        .map(|granted| granted.permission.as_str())
        .collect();
    names.sort_unstable();
    let mut expected: Vec<String> = {
        use reside::Contract;
        alpha_v1::AlphaContract::manifest()
            .permissions
            .into_keys()
            .collect()
    };
    expected.retain(|name| name != "rcb:manage:all");
    expected.extend(
        [
            "user:read:all",
            "user:permission:manage:all",
            "default-permissions:manage",
            "realm:read:all",
        ]
        .map(str::to_owned),
    );
    expected.sort_unstable();
    assert_eq!(names, expected);
    // It has them, too.
    world
        .admin
        .provider::<UserManagerContract>(&world.users.manager)
        .wait_for_permission(&ReadUsers {}, SOON)
        .await?;
    let data = world
        .admin
        .provider::<UserManagerContract>(&world.users.manager)
        .data()
        .await?;
    let users = world.admin.node().load(&data.get()?.users).await?;
    assert_eq!(users.len()?, 1);
    Ok(())
}

#[tokio::test]
async fn managed_users_are_made_in_realms_that_exist_by_those_who_may() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (bot, manager) = (world.cluster.account("bot").await?, &world.users.manager);
    let create = |realm: &str| CreateUser {
        realm_name: realm.to_owned(),
        account_name: "Ada".to_owned(),
    };
    let realm_name = || "guests".to_owned();
    let client = world.client(&bot);
    assert_refused(
        client.create_user(create("guests")).await,
        Code::NoPermission,
        "user:create:realm",
    );
    // Rights may come before the realm.
    let may_create = CreateUsers {
        realm_name: realm_name(),
    };
    world.cluster.grant(manager, bot.id(), &may_create).await?;
    let may_read = ReadRealmUsers {
        realm_name: realm_name(),
    };
    world.cluster.grant(manager, bot.id(), &may_read).await?;
    assert_refused(
        client.create_user(create("guests")).await,
        Code::NotFound,
        "no realm",
    );
    assert_refused(
        client.find_realm(FindRealm { name: realm_name() }).await,
        Code::NotFound,
        "no realm",
    );

    let define = |name: &str| DefineRealm {
        name: name.to_owned(),
        display_info: texts(),
    };
    assert_refused(
        client.define_realm(define("guests")).await,
        Code::NoPermission,
        "realm:manage",
    );
    for name in ["guests", "all", "default", "A b"] {
        let may_manage = ManageRealm {
            name: name.to_owned(),
        };
        world.cluster.grant(manager, bot.id(), &may_manage).await?;
    }
    assert_refused(client.define_realm(define("all")).await, Code::Malformed, "`all`");
    assert_refused(client.define_realm(define("A b")).await, Code::Malformed, "a-z");
    assert_refused(
        client.define_realm(define("default")).await,
        Code::Conflict,
        "belongs",
    );
    let realm = client.define_realm(define("guests")).await?;
    assert_eq!(client.define_realm(define("guests")).await?, realm);

    let created = client.create_user(create("guests")).await?;
    let realm: Co<Realm> = bot.node().load(&Ref::new(realm.realm.parse()?)).await?;
    let users = bot.node().load(&realm.get()?.users).await?;
    let user: User = bot
        .node()
        .load(&users.get(created.user_id.to_string())?.ok_or("no user")?)
        .await?
        .get()?;
    assert_eq!(
        (
            user.name.as_str(),
            user.realm.as_str(),
            user.is_managed,
            user.account.to_string()
        ),
        ("Ada", "guests", true, created.account_id)
    );
    Ok(())
}

#[tokio::test]
async fn users_and_realms_are_read_by_those_who_may() -> Result<(), BoxError> {
    let world = World::new().await?;
    let (ada, manager) = (world.cluster.account("ada").await?, &world.users.manager);
    world.register(&ada, "Ada").await?;
    let data = ada.provider::<UserManagerContract>(manager).data().await?.get()?;
    assert!(ada.node().load(&data.users).await.is_err());
    assert!(ada.node().load(&data.realms).await.is_err());
    assert!(ada.node().load(&data.default_permissions).await.is_err());
    let find = || FindRealm {
        name: "default".to_owned(),
    };
    assert_refused(
        world.client(&ada).find_realm(find()).await,
        Code::NoPermission,
        "realm:read",
    );

    // One realm opens neither the others nor its users.
    let may = ReadRealm {
        name: "default".to_owned(),
    };
    world.cluster.grant(manager, ada.id(), &may).await?;
    let found = world.client(&ada).find_realm(find()).await?;
    let realm: Co<Realm> = ada.node().load(&Ref::new(found.realm.parse()?)).await?;
    assert!(realm.get()?.is_open);
    assert!(ada.node().load(&realm.get()?.users).await.is_err());
    assert!(ada.node().load(&data.realms).await.is_err());
    world.cluster.revoke(manager, ada.id(), &may).await?;
    assert_refused(
        world.client(&ada).find_realm(find()).await,
        Code::NoPermission,
        "realm:read",
    );

    world.cluster.grant(manager, ada.id(), &ReadUsers {}).await?;
    assert_eq!(ada.node().load(&data.users).await?.len()?, 2);
    assert_eq!(ada.node().load(&realm.get()?.users).await?.len()?, 2);
    Ok(())
}
