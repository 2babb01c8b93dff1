//! What the Secret Replica publishes (SYSTEM.md, section 10): the outer map is public, everything below it is not.

use jazz::{AccountId, Co, CoMap, CoRecord, Group, Node, Ref, Role};
use reside::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The contract data.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct SecretData {
    /// Secrets by name; readable with [`ReadDefinitions`](crate::ReadDefinitions).
    pub secrets: Ref<CoRecord<Ref<Secret>>>,
    /// Group whose members read all values.
    pub value_readers: Ref<Group>,
    /// Group whose members write all values.
    pub value_writers: Ref<Group>,
}

/// A secret or a configuration value. Readable for those who read definitions, and for those who read or write its value.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Secret {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it is; absent until somebody has defined it. Until then it holds nothing but rights that were given in advance.
    pub definition: Option<SecretDefinition>,
    /// The value, in a group of its own.
    pub value: Ref<SecretValue>,
    /// Group whose members define it, and so see the definition.
    pub definers: Ref<Group>,
    /// Group whose members read the value.
    pub readers: Ref<Group>,
    /// Group whose members read and write the value.
    pub writers: Ref<Group>,
    /// Who defined it.
    pub owner: Option<AccountId>,
    /// What is wrong with the value, without the value: somebody has written what doesn't fit the schema.
    pub problem: Option<String>,
}

/// What a secret is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretDefinition {
    /// Texts for people.
    pub display_info: DisplayInfo,
    /// JSON Schema that values fit.
    pub schema: Value,
}

/// A value, encrypted for those who may read it.
#[derive(CoMap, Clone, PartialEq)]
pub struct SecretValue {
    /// The value; absent until it was set. Whoever may write can write anything here: read it with
    /// [`checked_value`](crate::checked_value).
    pub value: Option<Value>,
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue")
    }
}

impl Migrate for SecretData {
    async fn init(node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        let secrets = node.create_record::<&str, Ref<Secret>>(&node.create_group()?, [])?;
        Ok(Self {
            secrets: secrets.reference(),
            value_readers: node.create_group()?.reference(),
            value_writers: node.create_group()?.reference(),
        })
    }
}

/// Returns a secret. Rights to it can be given before anybody has defined it, so whoever names it first has it made.
pub async fn ensure_secret(data: &Co<SecretData>, name: &str) -> Result<Co<Secret>, BoxError> {
    let (node, public) = (data.node(), data.get()?);
    let secrets = node.load(&public.secrets).await?;
    // Transactions of a node take turns, so of several who ask at once one makes it.
    let secret = node.transaction(|tx| {
        if let Some(secret) = secrets.get(name)? {
            return Ok(secret);
        }
        let value = tx.create(&node.create_group()?, SecretValue { value: None })?;
        let secret = Secret {
            id: u32::try_from(secrets.len()?)
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            name: name.to_owned(),
            definition: None,
            value: value.reference(),
            definers: node.create_group()?.reference(),
            readers: node.create_group()?.reference(),
            writers: node.create_group()?.reference(),
            owner: None,
            problem: None,
        };
        let secret = tx.create(&node.create_group()?, secret)?.reference();
        tx.insert(&secrets, name, &secret)?;
        Ok(secret)
    })?;
    let secret = node.load(&secret).await?;
    let record = secret.get()?;
    let value = node.load(&record.value).await?.owner();
    for (readers, role) in [
        (&public.value_readers, Role::Reader),
        (&record.readers, Role::Reader),
        (&public.value_writers, Role::Writer),
        (&record.writers, Role::Writer),
    ] {
        extend(&value, &node.load_group(readers.id()).await?, role).await?;
    }
    let definers = node.load_group(record.definers.id()).await?;
    for readers in [&secrets.owner(), &value, &definers] {
        extend(&secret.owner(), readers, Role::Reader).await?;
    }
    Ok(secret)
}

/// Gives the members of another group a role in this one, unless they have it.
async fn extend(group: &Group, parent: &Group, role: Role) -> Result<(), BoxError> {
    if !group.parents()?.contains(&parent.reference()) {
        group.extend_as(parent, role).await?;
    }
    Ok(())
}
