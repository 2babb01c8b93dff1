//! The Secret Replica, as commands use it.

use alpha_v1::{ReadReplicas, ReplicaKey};
use jazz::{Co, LoadError, Ref, WriteError};
use reside::{Contract, Permission, Provider};
use secret_v1::{
    FindSecret, ReadValue, Secret, SecretError, SecretValue, SecretsContract, WriteValue, checked_value,
    set_value,
};
use serde_json::{Value, json};

use super::explain;
use super::session::Session;
use crate::error::CommandError;

/// How the replica is called in messages.
const NAME: &str = "secret";

/// A secret that was found, with the place of its value.
pub struct Found {
    /// What it is.
    pub secret: Secret,
    place: Co<SecretValue>,
}

impl Session {
    /// The replica that keeps secrets.
    pub async fn secrets(&self) -> Result<Provider<SecretsContract>, CommandError> {
        let contract = SecretsContract::identity();
        let found = alpha_v1::find_replicas(self.data(), &ReplicaKey::Contract(&contract)).await;
        let found = found.map_err(|error| self.cannot_load::<ReadReplicas>(error, "the replicas"))?;
        let missing = || {
            CommandError::failed("this cluster has no replica for secrets")
                .help("an administrator loads it with `reside cluster bootstrap-defaults`")
        };
        let id = found.first().ok_or_else(missing)?;
        let replica = alpha_v1::replica_by_id(self.data(), *id).await;
        let replica = replica.map_err(|error| self.cannot_load::<ReadReplicas>(error, "the replicas"))?;
        let account = replica
            .and_then(|replica| replica.get().ok())
            .ok_or_else(missing)?
            .account;
        Ok(self.connector().provider(account))
    }

    /// Finds a secret whose value we may read.
    pub async fn secret(&self, name: &str) -> Result<Found, CommandError> {
        let request = FindSecret {
            name: name.to_owned(),
        };
        let found = self.secrets().await?.client().find(request).await;
        let found = found.map_err(|error| explain::call(error, NAME, self.account()))?;
        let what = format!("the secret `{name}`");
        let failed = |why: Box<dyn std::error::Error + Send + Sync>| {
            CommandError::failed(format!("cannot read {what}")).because(why)
        };
        let id = found
            .secret
            .parse()
            .map_err(|why: jazz::ParseIdError| failed(why.into()))?;
        let record: Co<Secret> = self
            .node()
            .load(&Ref::new(id))
            .await
            .map_err(|why| failed(why.into()))?;
        let secret = record.get().map_err(|why| failed(why.into()))?;
        let place = self.node().load(&secret.value).await;
        let place = place.map_err(|error| self.cannot_read_value(error, name))?;
        Ok(Found { secret, place })
    }

    fn cannot_read_value(&self, error: LoadError, name: &str) -> CommandError {
        let (contract, params) = (SecretsContract::identity(), json!({ "name": name }));
        let permission = (&contract, ReadValue::NAME, Some(&params));
        explain::load_instance(error, &format!("the secret `{name}`"), permission, self.account())
    }

    /// Explains why a value can't be had or set.
    pub fn secret_failed(&self, error: SecretError, name: &str) -> CommandError {
        let failed = CommandError::failed(format!("cannot use the secret `{name}`"));
        match error {
            SecretError::Invalid { problem, .. } => {
                CommandError::failed(format!("the value doesn't fit the secret `{name}`"))
                    .because(problem)
                    .help("`reside secret list --output json` shows the schema")
            }
            SecretError::Load(error) => self.cannot_read_value(error, name),
            SecretError::Write(WriteError::NotAllowed { .. }) => {
                let (contract, params) = (SecretsContract::identity(), json!({ "name": name }));
                explain::lacks(
                    failed,
                    (&contract, WriteValue::NAME, Some(&params)),
                    self.account(),
                )
            }
            error => failed.because(error),
        }
    }
}

impl Found {
    /// The value, if it was set and fits.
    pub fn value(&self) -> Result<Option<Value>, SecretError> {
        checked_value(&self.secret, &self.place)
    }

    /// Checks a value and stores it.
    pub async fn set(&self, value: Value) -> Result<(), SecretError> {
        set_value(&self.secret, &self.place, value).await
    }
}

/// Reads JSON that is a secret: what is wrong is said without a part of it.
pub fn parse(text: &str) -> Result<Value, CommandError> {
    serde_json::from_str(text).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            _ => "something is out of place",
        };
        CommandError::usage("the value is not valid JSON")
            .because(format!(
                "line {}, column {}: {kind}",
                error.line(),
                error.column()
            ))
            .help("a text is JSON in double quotes: '\"secret\"'")
    })
}
