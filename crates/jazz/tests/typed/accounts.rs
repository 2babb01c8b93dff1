//! Accounts: made, logged into, and seen by others.

use jazz::{AgentSecret, CoMap, ConnectError, Credentials, LocalServer, Node, Role, SecretSeed, WriteError};

use crate::support::{SOON, client, note};

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Profile {
    name: String,
    motto: Option<String>,
}

fn credentials(byte: u8) -> Credentials {
    Credentials::of(AgentSecret::from_seed(&SecretSeed::from_bytes([byte; 32])))
}

#[tokio::test]
async fn a_new_account_has_a_public_profile() {
    let server = LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    let profile = alice.profile::<Profile>().await.unwrap();
    assert_eq!(
        profile.get().unwrap(),
        Profile {
            name: "Alice".into(),
            motto: None
        }
    );
    assert_eq!(profile.owner().everyone(), Some(Role::Reader));
    profile
        .update(|profile| profile.motto = Some("Onwards".into()))
        .unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let seen = bob.load_account(alice.account_id()).await.unwrap();
    assert_eq!(seen.account_id(), *alice.account_id());
    let profile = seen.profile::<Profile>().await.unwrap();
    assert_eq!(profile.get().unwrap().motto.as_deref(), Some("Onwards"));
    assert!(matches!(
        profile.update(|profile| profile.motto = None),
        Err(WriteError::NotAllowed { .. })
    ));
}

#[tokio::test]
async fn the_root_is_private_and_optional() {
    let server = LocalServer::new();
    let (alice, bob) = (client(&server, "Alice").await, client(&server, "Bob").await);
    assert!(
        alice
            .account()
            .root::<crate::support::Note>()
            .await
            .unwrap()
            .is_none()
    );
    let root = alice
        .create(&alice.create_group().unwrap(), note("root"))
        .unwrap();
    alice.account().set_root(root.id()).unwrap();
    assert_eq!(alice.account().root().await.unwrap().as_ref(), Some(&root));
    alice.wait_for_sync(SOON).await.unwrap();
    let seen = bob.load_account(alice.account_id()).await.unwrap();
    assert_eq!(seen.root_id().as_ref(), Some(root.id()));
    assert!(seen.root::<crate::support::Note>().await.is_err());
    assert!(matches!(
        seen.set_root(root.id()),
        Err(WriteError::NotAllowed { .. })
    ));
}

#[tokio::test]
async fn an_account_is_used_from_another_node() {
    let server = LocalServer::new();
    let alice = client(&server, "Alice").await;
    let group = alice.create_group().unwrap();
    let map = alice.create(&group, note("a")).unwrap();
    alice.wait_for_sync(SOON).await.unwrap();
    let again = Node::builder()
        .local_server(&server)
        .account(alice.credentials().unwrap())
        .connect()
        .await
        .unwrap();
    assert_eq!(again.account_id(), alice.account_id());
    again
        .load(&map.reference())
        .await
        .unwrap()
        .update(|note| note.likes = 1)
        .unwrap();
    map.subscribe()
        .wait_for(|note| note.likes == 1)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn logging_in_fails_with_a_reason() {
    let server = LocalServer::new();
    let unknown = credentials(1);
    let failed = Node::builder()
        .local_server(&server)
        .account(unknown.clone())
        .connect()
        .await;
    assert!(matches!(failed, Err(ConnectError::AccountNotFound(id)) if id == unknown.account_id));
    let mixed = Credentials {
        account_id: unknown.account_id.clone(),
        ..credentials(2)
    };
    let failed = Node::builder()
        .local_server(&server)
        .account(mixed)
        .connect()
        .await;
    assert!(matches!(failed, Err(ConnectError::WrongSecret(id)) if id == unknown.account_id));
    assert!(matches!(
        Node::builder().connect().await,
        Err(ConnectError::NoAccount)
    ));
    let failed = Node::builder()
        .sync_server("http://localhost")
        .create_account("A")
        .connect()
        .await;
    assert!(matches!(failed, Err(ConnectError::InvalidServer(_))));
}

#[tokio::test]
async fn an_account_chosen_before_there_was_a_server_is_made_on_first_use() {
    let server = LocalServer::new();
    let chosen = credentials(3);
    for _ in 0..2 {
        let node = Node::builder()
            .local_server(&server)
            .account_or_create(chosen.clone(), "Admin")
            .connect()
            .await
            .unwrap();
        assert_eq!(*node.account_id(), chosen.account_id);
        assert_eq!(
            node.profile::<Profile>().await.unwrap().get().unwrap().name,
            "Admin"
        );
        node.wait_for_sync(SOON).await.unwrap();
    }
    let made = Node::builder()
        .create_account_of(chosen.agent_secret, "Admin")
        .connect()
        .await
        .unwrap();
    assert_eq!(
        *made.account_id(),
        chosen.account_id,
        "the id follows from the secret"
    );
}

#[tokio::test]
async fn an_account_made_offline_reaches_the_server_from_storage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    let offline = Node::builder()
        .storage(&path)
        .create_account("Alice")
        .connect()
        .await
        .unwrap();
    let credentials = offline.credentials().unwrap();
    offline.shutdown().await;
    drop(offline);

    let server = LocalServer::new();
    let alice = Node::builder()
        .storage(&path)
        .local_server(&server)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    let bob = client(&server, "Bob").await;
    let profile = alice.profile::<Profile>().await.unwrap();
    assert_eq!(profile.get().unwrap().name, "Alice");
    alice.wait_for_sync(SOON).await.unwrap();
    let seen = bob
        .load_account(alice.account_id())
        .await
        .unwrap()
        .profile::<Profile>()
        .await
        .unwrap();
    assert_eq!(seen.get().unwrap().name, "Alice");
}

#[tokio::test]
async fn content_survives_in_storage() {
    let storage = jazz::storage::MemoryStorage::default();
    let node = Node::builder()
        .storage_with(storage.clone())
        .create_account("Alice")
        .connect()
        .await
        .unwrap();
    let group = node.create_group().unwrap();
    let map = node.create(&group, note("a")).unwrap();
    map.update(|note| note.likes = 5).unwrap();
    let (credentials, reference) = (node.credentials().unwrap(), map.reference());
    node.shutdown().await;
    let again = Node::builder()
        .storage_with(storage)
        .account(credentials)
        .connect()
        .await
        .unwrap();
    let map = again.load(&reference).await.unwrap();
    assert_eq!(map.get().unwrap().likes, 5);
    map.update(|note| note.likes += 1).unwrap();
    assert_eq!(map.get().unwrap().likes, 6);
}

#[test]
fn no_secret_is_printed() {
    let credentials = credentials(4);
    let printed = format!("{credentials:?}");
    assert!(!printed.contains("Secret_z"), "{printed}");
}

#[tokio::test]
async fn a_node_that_was_logged_out_knows_and_does_nothing_any_more() {
    let server = LocalServer::new();
    let node = client(&server, "Ada").await;
    let group = node.create_group().unwrap();
    let list = node.create_list(&group, ["secret".to_owned()]).unwrap();
    let mut changes = list.subscribe();
    changes.next().await.unwrap().unwrap();
    node.wait_for_sync(SOON).await.unwrap();
    let (clone, credentials) = (node.clone(), node.credentials().unwrap());

    node.log_out();
    assert!(clone.credentials().is_none());
    assert!(changes.next().await.is_none());
    assert!(list.items().is_err());
    assert!(list.push(&"more".to_owned()).is_err());
    assert!(clone.create_group().is_err());
    assert!(clone.load(&list.reference()).await.is_err());
    assert!(!clone.is_connected());
    // The account itself is as it was.
    let again = Node::builder().local_server(&server).account(credentials);
    let again = again.connect().await.unwrap();
    assert_eq!(
        again.load(&list.reference()).await.unwrap().items().unwrap(),
        ["secret"]
    );
}
