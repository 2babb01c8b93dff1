//! What a replica needs that uses a secret or a configuration value.

use std::marker::PhantomData;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _, select};
use jazz::{Co, CoId, LoadError, Ref, WriteError};
use reside::RequirementBuilder;
use reside::prelude::*;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{DefineSecret, ManageDefinition, Secret, SecretValue, SecretsContract, WriteValue, check_value};

/// How long a new value may take to be stored.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a value can't be had or set.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It doesn't fit its schema. Says what is wrong without the value.
    #[error("the value of the secret `{name}` doesn't fit: {problem}")]
    Invalid {
        /// The secret.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Nobody has said which values fit.
    #[error("nobody has defined the secret `{0}`")]
    NotDefined(String),
    /// It can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The sync server has not confirmed the new value in time.
    #[error(transparent)]
    NotSynced(#[from] jazz::NotSynced),
}

/// Reads a value and checks it against the secret's schema: what somebody wrote that doesn't fit is no value.
pub fn checked_value(secret: &Secret, value: &Co<SecretValue>) -> Result<Option<Value>, SecretError> {
    match value.get()?.value {
        Some(found) => check(secret, &found).map(|()| Some(found)),
        None => Ok(None),
    }
}

/// Checks a value, writes it, and waits until the sync server has it.
pub async fn set_value(secret: &Secret, place: &Co<SecretValue>, value: Value) -> Result<(), SecretError> {
    check(secret, &value)?;
    place.update(|place| place.value = Some(value))?;
    Ok(place.node().wait_until_durable(SYNC_TIMEOUT).await?)
}

fn check(secret: &Secret, value: &Value) -> Result<(), SecretError> {
    let name = secret.name.clone();
    let Some(definition) = &secret.definition else {
        return Err(SecretError::NotDefined(name));
    };
    check_value(&definition.schema, value).map_err(|problem| SecretError::Invalid { name, problem })
}

/// A secret that a replica uses; a constant of its code. Made by [`define_secret`].
#[derive(Clone, Debug)]
pub struct SecretConfig<T> {
    name: String,
    display_info: DisplayInfo,
    value: PhantomData<fn() -> T>,
}

/// Describes a secret or a configuration value of a replica. Its schema is that of the type; the name may hold
/// `{replica.name}`.
///
/// ```no_run
/// use reside::prelude::*;
/// use secret_v1::{SecretConfig, SecretsContract, define_secret};
///
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// struct Mail {
///     server: String,
///     password: String,
/// }
///
/// fn mail() -> SecretConfig<Mail> {
///     define_secret("{replica.name}-mail", DisplayInfo::default().with("en", "Mail", "Where mail is sent from"))
/// }
///
/// fn definition() -> ReplicaDefinition {
///     ReplicaDefinition::new("ghcr.io/me/replicas/mailer", Info::long_running("mailer"))
///         .en("Mailer", "Sends mail")
///         .requires::<SecretsContract>("secrets", |secrets| mail().permissions(secrets))
/// }
///
/// async fn run(replica: Replica) -> RunResult {
///     let mail = mail().init(&replica, &replica.requirement("secrets")?).await?;
///     match mail.get()? {
///         Some(mail) => println!("mail goes out from {}", mail.server),
///         None => println!("nobody has set `{}` yet", mail.name()),
///     }
///     Ok(())
/// }
/// ```
pub fn define_secret<T>(name: &str, display_info: DisplayInfo) -> SecretConfig<T>
where
    T: Serialize + DeserializeOwned + JsonSchema,
{
    SecretConfig {
        name: name.to_owned(),
        display_info,
        value: PhantomData,
    }
}

impl<T: Serialize + DeserializeOwned + JsonSchema> SecretConfig<T> {
    /// Asks for the permissions that the secret needs.
    #[must_use]
    pub fn permissions(
        &self,
        requirement: RequirementBuilder<SecretsContract>,
    ) -> RequirementBuilder<SecretsContract> {
        let name = self.name.clone();
        requirement
            .permission(&ManageDefinition { name: name.clone() })
            .permission(&WriteValue { name })
    }

    /// Waits for the permissions and defines the secret. To be called at every start.
    pub async fn init(
        &self,
        replica: &Replica,
        secrets: &Requirement<SecretsContract>,
    ) -> Result<SecretHandle<T>, BoxError> {
        secrets.wait_until_granted().await?;
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
        let definition = DefineSecret {
            name: reside::permission::fill_replica_name(&self.name, replica.name()),
            display_info: self.display_info.clone(),
            schema: settings.into_generator().into_root_schema_for::<T>().to_value(),
        };
        let found = secrets.client().define(definition).await?;
        let (node, id): (_, CoId) = (replica.node(), found.secret.parse()?);
        let secret: Co<Secret> = node.load(&Ref::new(id)).await?;
        let value = node.load(&secret.get()?.value).await?;
        Ok(SecretHandle {
            secret,
            place: value,
            value: PhantomData,
        })
    }
}

/// A secret, for the replica that uses it. Cheap to clone.
#[derive(Debug)]
pub struct SecretHandle<T> {
    secret: Co<Secret>,
    place: Co<SecretValue>,
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> SecretHandle<T> {
    /// Returns the secret's name.
    pub fn name(&self) -> String {
        self.secret.get().map(|secret| secret.name).unwrap_or_default()
    }

    /// Returns the value, if it was set. A value that doesn't fit the schema is an error.
    pub fn get(&self) -> Result<Option<T>, SecretError> {
        let secret = self.secret.get()?;
        let Some(value) = checked_value(&secret, &self.place)? else {
            return Ok(None);
        };
        let parsed = serde_json::from_value(value);
        parsed.map(Some).map_err(|error| invalid(secret.name, &error))
    }

    /// Sets the value, and waits until it is stored.
    pub async fn set(&self, value: &T) -> Result<(), SecretError> {
        let secret = self.secret.get()?;
        let value = serde_json::to_value(value).map_err(|error| invalid(secret.name.clone(), &error))?;
        set_value(&secret, &self.place, value).await
    }

    /// The value, then what it becomes. A value that doesn't fit comes as an error; the next one may fit again. Ends when
    /// the replica stops.
    pub fn subscribe(&self) -> BoxStream<'static, Result<Option<T>, SecretError>> {
        let handle = self.clone();
        // A new schema can make a value fit or not, as a new value can.
        let changes = select(
            self.place.subscribe().map(drop),
            self.secret.subscribe().map(drop).skip(1),
        );
        changes.map(move |()| handle.get()).boxed()
    }
}

impl<T> Clone for SecretHandle<T> {
    fn clone(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            place: self.place.clone(),
            value: PhantomData,
        }
    }
}

/// Says no more than the kind of error: its text could hold a part of the value.
fn invalid(name: String, error: &serde_json::Error) -> SecretError {
    SecretError::Invalid {
        name,
        problem: format!("it is not what the replica expects ({:?})", error.classify()),
    }
}
