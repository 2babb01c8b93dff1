//! The Secret Replica on the cluster in memory: who reads and writes what, and what doesn't fit.

use std::time::Duration;

use futures::StreamExt as _;
use reside::prelude::*;
use reside::rpc::{Code, RpcError};
use reside::testing::{Cluster, TestAccount, TestReplica};
use secret_v1::{
    DefineSecret, FindSecret, ManageDefinition, ReadDefinitions, ReadValue, ReadValues, Secret, SecretConfig,
    SecretError, SecretHandle, SecretsContract, WriteValue, WriteValues, checked_value, define_secret,
    set_value,
};
use serde_json::{Value, json};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(10);

/// What the mailer needs to know.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Mail {
    server: String,
    #[schemars(range(min = 1, max = 65535))]
    port: u32,
}

fn mail() -> SecretConfig<Mail> {
    define_secret(
        "{replica.name}/mail",
        DisplayInfo::default().with("en", "Mail", "Where mail is sent from"),
    )
}

struct World {
    cluster: Cluster,
    keeper: TestReplica,
    mail: SecretHandle<Mail>,
    _mailer: TestReplica,
}

impl World {
    async fn new() -> Result<Self, BoxError> {
        let cluster = Cluster::new().await?;
        let keeper = cluster.add(secret::definition(), secret::run).await?;
        let mailer = ReplicaDefinition::new("example.org/replicas/mailer", Info::long_running("mailer"))
            .en("Mailer", "Sends mail")
            .requires::<SecretsContract>("secrets", |secrets| mail().permissions(secrets));
        let mailer = cluster
            .add(mailer, |replica| async move {
                replica.shutdown_requested().await;
                Ok(())
            })
            .await?;
        let inside = mailer.replica();
        let mail = mail().init(inside, &inside.requirement("secrets")?).await?;
        Ok(Self {
            cluster,
            keeper,
            mail,
            _mailer: mailer,
        })
    }

    async fn find(&self, account: &TestAccount, name: &str) -> Result<Co<Secret>, CallError> {
        let client = account.client::<SecretsContract>(&self.keeper);
        let found = client
            .find(FindSecret {
                name: name.to_owned(),
            })
            .await?;
        let id = found
            .secret
            .parse()
            .map_err(|_| CallError::Local("no id".into()))?;
        account
            .node()
            .load(&Ref::new(id))
            .await
            .map_err(|error| CallError::Local(error.into()))
    }

    async fn grant<P: Permission<Contract = SecretsContract>>(
        &self,
        account: &TestAccount,
        permission: &P,
    ) -> RunResult {
        self.cluster.grant(&self.keeper, account.id(), permission).await
    }
}

fn value(port: u32) -> Mail {
    Mail {
        server: "mail.example.org".to_owned(),
        port,
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, CallError>) -> RpcError {
    match result {
        Err(CallError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

const NAME: &str = "mailer/mail";

#[tokio::test]
async fn a_replica_gets_sets_and_follows_its_secret() -> Result<(), BoxError> {
    let world = World::new().await?;
    assert_eq!(world.mail.name(), NAME);
    assert_eq!(world.mail.get()?, None);
    let mut values = world.mail.subscribe();
    assert_eq!(values.next().await.ok_or("ended")??, None);
    world.mail.set(&value(25)).await?;
    assert_eq!(world.mail.get()?, Some(value(25)));
    assert_eq!(values.next().await.ok_or("ended")??, Some(value(25)));
    // What doesn't fit isn't stored.
    let refused = world.mail.set(&value(70_000)).await;
    assert!(
        matches!(&refused, Err(SecretError::Invalid { problem, .. }) if problem.contains("/port")),
        "{refused:?}"
    );
    assert_eq!(world.mail.get()?, Some(value(25)));

    // An administrator changes it, and the replica sees it.
    let admin = world.cluster.account("admin").await?;
    world
        .grant(
            &admin,
            &WriteValue {
                name: NAME.to_owned(),
            },
        )
        .await?;
    let secret = world.find(&admin, NAME).await?;
    let place = admin.node().load(&secret.get()?.value).await?;
    let new = json!({"server": "mail.example.org", "port": 465});
    set_value(&secret.get()?, &place, new).await?;
    let seen = async {
        while let Some(value) = values.next().await {
            if value.is_ok_and(|mail| mail == Some(self::value(465))) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, seen).await?;
    Ok(())
}

#[tokio::test]
async fn what_somebody_writes_that_does_not_fit_is_reported_and_never_handed_out() -> Result<(), BoxError> {
    let world = World::new().await?;
    world.mail.set(&value(25)).await?;
    let (eve, auditor) = (
        world.cluster.account("eve").await?,
        world.cluster.account("auditor").await?,
    );
    world.grant(&eve, &WriteValues {}).await?;
    world.grant(&auditor, &ReadDefinitions {}).await?;
    let secret = world.find(&eve, NAME).await?;
    let audited = world.find(&auditor, NAME).await?;
    let place = eve.node().load(&secret.get()?.value).await?;
    // Past every helper: straight into the value.
    for bad in [
        json!({"server": "hunter2", "port": "hunter2"}),
        json!("hunter2"),
        json!({"server": 1, "port": 2, "hunter2": 3}),
    ] {
        place.update(|place| place.value = Some(bad.clone()))?;
        let mut record = audited.subscribe();
        let reported = tokio::time::timeout(SOON, record.wait_for(|secret| secret.problem.is_some())).await?;
        let problem = reported.ok_or("ended")??.problem.unwrap_or_default();
        assert!(!problem.contains("hunter2"), "{problem}");
        let mut values = world.mail.subscribe();
        let invalid = async {
            while let Some(value) = values.next().await {
                match value {
                    Err(SecretError::Invalid { problem, .. }) => return Ok(problem),
                    Err(error) => return Err(error),
                    // What was written has not arrived.
                    Ok(_) => {}
                }
            }
            Ok(String::new())
        };
        let problem = tokio::time::timeout(SOON, invalid).await??;
        assert!(!problem.is_empty() && !problem.contains("hunter2"), "{problem}");
        assert!(checked_value(&secret.get()?, &place).is_err());

        place.update(|place| place.value = Some(json!({"server": "mail.example.org", "port": 25})))?;
        let fixed = tokio::time::timeout(SOON, record.wait_for(|secret| secret.problem.is_none())).await?;
        fixed.ok_or("ended")??;
    }
    assert_eq!(world.mail.get()?, Some(value(25)));
    Ok(())
}

#[tokio::test]
async fn only_those_who_may_can_decrypt_a_value() -> Result<(), BoxError> {
    let world = World::new().await?;
    world.mail.set(&value(25)).await?;
    let reference = {
        let admin = world.cluster.account("admin").await?;
        world.grant(&admin, &WriteValues {}).await?;
        world.find(&admin, NAME).await?.reference()
    };
    let (eve, bob) = (
        world.cluster.account("eve").await?,
        world.cluster.account("bob").await?,
    );
    assert_eq!(refusal(world.find(&eve, NAME).await).code(), Code::NoPermission);
    // A raw node that knows the ids gets the encrypted value from the server, and nothing out of it.
    world
        .grant(
            &bob,
            &ReadValue {
                name: NAME.to_owned(),
            },
        )
        .await?;
    let secret = bob.node().load(&reference).await?.get()?;
    let place = bob.node().load(&secret.value).await?;
    let read = |account: &TestAccount| {
        let (node, value) = (account.node().clone(), secret.value.clone());
        async move {
            let place = node.load(&value).await?;
            place.get().map(|place| place.value)
        }
    };
    assert!(read(&eve).await.is_err());
    let raw = eve
        .node()
        .driver()
        .with(|core, _| core.log(secret.value.id()).map(|log| format!("{log:?}")));
    assert!(!raw.unwrap_or_default().contains("mail.example.org"));
    assert_eq!(
        checked_value(&secret, &place)?,
        Some(json!({"server": "mail.example.org", "port": 25}))
    );
    // Reading isn't writing, definitions aren't values, and one value isn't another.
    assert!(place.update(|place| place.value = Some(Value::Null)).is_err());
    world.grant(&eve, &ReadDefinitions {}).await?;
    world
        .grant(
            &eve,
            &ReadValue {
                name: "other".to_owned(),
            },
        )
        .await?;
    assert!(world.find(&eve, NAME).await.is_ok());
    assert!(read(&eve).await.is_err());

    // From a revocation on, what is written can't be read.
    world
        .cluster
        .revoke(
            &world.keeper,
            bob.id(),
            &ReadValue {
                name: NAME.to_owned(),
            },
        )
        .await?;
    world.mail.set(&value(26)).await?;
    assert!(
        !matches!(place.get(), Ok(place) if place.value == Some(json!({"server": "mail.example.org", "port": 26})))
    );
    world.grant(&eve, &ReadValues {}).await?;
    assert_eq!(
        read(&eve).await?,
        Some(json!({"server": "mail.example.org", "port": 26}))
    );
    Ok(())
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused() -> Result<(), BoxError> {
    let world = World::new().await?;
    let bob = world.cluster.account("bob").await?;
    let client = bob.client::<SecretsContract>(&world.keeper);
    let define = |name: &str, schema: Value| DefineSecret {
        name: name.to_owned(),
        display_info: DisplayInfo::default().with("en", "Secret", ""),
        schema,
    };
    assert_eq!(
        refusal(client.define(define("a", json!({}))).await).code(),
        Code::NoPermission
    );
    for name in ["a", "all", "A"] {
        world
            .grant(
                &bob,
                &ManageDefinition {
                    name: name.to_owned(),
                },
            )
            .await?;
    }
    for (name, schema, says) in [
        ("all", json!({}), "`all`"),
        ("A", json!({}), "a-z"),
        ("a", json!({"type": 3}), "schema"),
        ("a", json!({"$ref": "http://169.254.169.254/"}), "schema"),
    ] {
        let error = refusal(client.define(define(name, schema)).await);
        assert_eq!(error.code(), Code::Malformed);
        assert!(error.message().contains(says), "{error}");
    }
    assert_eq!(
        refusal(client.find(FindSecret { name: "a".to_owned() }).await).code(),
        Code::NotFound
    );
    let defined = client.define(define("a", json!({"type": "string"}))).await?;
    assert_eq!(
        client.define(define("a", json!({"type": "string"}))).await?,
        defined
    );
    Ok(())
}

#[tokio::test]
async fn a_new_schema_is_checked_against_the_value_that_is_there() -> Result<(), BoxError> {
    let world = World::new().await?;
    world.mail.set(&value(25)).await?;
    let admin = world.cluster.account("admin").await?;
    world
        .grant(
            &admin,
            &ManageDefinition {
                name: NAME.to_owned(),
            },
        )
        .await?;
    let definition = DefineSecret {
        name: NAME.to_owned(),
        display_info: DisplayInfo::default().with("en", "Mail", ""),
        schema: json!({"type": "object", "required": ["password"]}),
    };
    admin
        .client::<SecretsContract>(&world.keeper)
        .define(definition)
        .await?;
    let secret = world.find(&admin, NAME).await?;
    let mut record = secret.subscribe();
    let reported = tokio::time::timeout(SOON, record.wait_for(|secret| secret.problem.is_some())).await?;
    assert!(
        reported
            .ok_or("ended")??
            .problem
            .is_some_and(|problem| problem.contains("password"))
    );
    Ok(())
}
