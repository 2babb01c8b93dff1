//! The permissions of `secret.v1`. What they open is a group each, so granting is adding a member.

use jazz::{AccountId, Co, Group, Role};
use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretsContract;
use crate::data::{SecretData, ensure_secret};

macro_rules! permission {
    ($(#[$doc:meta])* $name:ident = $wire:literal $([$key:ident])?, $risk:ident, $en:literal, $en_text:literal, $ru:literal, $ru_text:literal) => {
        $(#[$doc])*
        #[derive(Permission, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[permission(contract = SecretsContract, name = $wire $(, instance($key))?, risk = $risk, en($en, $en_text), ru($ru, $ru_text))]
        pub struct $name {
            $(
                /// Name of the secret.
                #[schemars(length(min = 1, max = 100))]
                pub $key: String,
            )?
        }
    };
}

/// Which group a permission lets accounts into, and with which role.
macro_rules! opens {
    ($name:ident, |$permission:ident, $data:ident| $group:expr, $role:ident) => {
        impl PermissionHandler for $name {
            async fn on_granted(&self, $data: &Co<SecretData>, account: &AccountId) -> HandlerResult {
                let $permission = self;
                let group: Group = $group;
                Ok(group.add_member(account, Role::$role).await?)
            }

            async fn on_revoked(&self, $data: &Co<SecretData>, account: &AccountId) -> HandlerResult {
                let $permission = self;
                let group: Group = $group;
                Ok(group.remove_member(account).await?)
            }
        }
    };
}

permission! {
    /// Define one secret: its texts and its schema.
    ManageDefinition = "definition:manage" [name], write,
    "Define the secret {name}", "Say what this secret is and which values fit",
    "Определять секрет {name}", "Задавать, что это за секрет и какие значения подходят"
}
permission! {
    /// See which secrets there are, without their values.
    ReadDefinitions = "definition:read:all", read,
    "Read definitions of secrets", "See which secrets there are, without their values",
    "Читать определения секретов", "Видеть, какие есть секреты, без их значений"
}
permission! {
    /// Read one value.
    ReadValue = "value:read" [name], read,
    "Read the secret {name}", "Read the value of this secret",
    "Читать секрет {name}", "Читать значение этого секрета"
}
permission! {
    /// Read all values.
    ReadValues = "value:read:all", admin,
    "Read all secrets", "Read the values of all secrets",
    "Читать все секреты", "Читать значения всех секретов"
}
permission! {
    /// Read and write one value.
    WriteValue = "value:read-write" [name], write,
    "Read and write the secret {name}", "Read and change the value of this secret",
    "Читать и менять секрет {name}", "Читать и менять значение этого секрета"
}
permission! {
    /// Read and write all values.
    WriteValues = "value:read-write:all", admin,
    "Read and write all secrets", "Read and change the values of all secrets",
    "Читать и менять все секреты", "Читать и менять значения всех секретов"
}

opens!(
    ManageDefinition,
    |permission, data| {
        let secret = ensure_secret(data, &permission.name).await?.get()?;
        data.node().load_group(secret.definers.id()).await?
    },
    Reader
);
opens!(
    ReadDefinitions,
    |_permission, data| data.node().load(&data.get()?.secrets).await?.owner(),
    Reader
);
opens!(
    ReadValues,
    |_permission, data| data.node().load_group(data.get()?.value_readers.id()).await?,
    Reader
);
opens!(
    WriteValues,
    |_permission, data| data.node().load_group(data.get()?.value_writers.id()).await?,
    Writer
);

opens!(
    ReadValue,
    |permission, data| {
        let secret = ensure_secret(data, &permission.name).await?.get()?;
        data.node().load_group(secret.readers.id()).await?
    },
    Reader
);
opens!(
    WriteValue,
    |permission, data| {
        let secret = ensure_secret(data, &permission.name).await?.get()?;
        data.node().load_group(secret.writers.id()).await?
    },
    Writer
);
