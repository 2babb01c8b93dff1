//! The contract of the Secret Replica, which keeps secrets and configuration values (SYSTEM.md, section 10).
//!
//! A replica that needs a secret defines it: see [`define_secret`].

mod data;
mod handle;
mod permissions;
mod schema;

use reside::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use data::*;
pub use handle::*;
pub use permissions::*;
pub use schema::*;

/// Keeps secrets and configuration values.
#[contract(
    identity = "ghcr.io/exeteres/reside/contracts/secret.v1",
    data = SecretData,
    permissions(ManageDefinition, ReadDefinitions, ReadValue, ReadValues, WriteValue, WriteValues),
    en("Secrets", "Keeps secrets and configuration values"),
    ru("Секреты", "Хранит секреты и значения настроек"),
)]
pub trait Secrets {
    /// Says what a secret is; needs [`ManageDefinition`]. A value that doesn't fit any more stays, and isn't handed out.
    #[method(
        en("Define a secret", "Says what a secret is and which values fit"),
        ru("Определить секрет", "Задаёт, что это за секрет и какие значения подходят"),
        idempotent
    )]
    async fn define(&self, call: &Call, request: DefineSecret) -> RpcResult<SecretRef>;

    /// Finds a secret for whoever has any permission for it.
    #[method(
        en("Find a secret", "Finds a secret for which the caller has a permission"),
        ru("Найти секрет", "Находит секрет, на который у вызывающего есть разрешение"),
        idempotent
    )]
    async fn find(&self, call: &Call, request: FindSecret) -> RpcResult<SecretRef>;
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    )*};
}

messages! {
    /// What a secret is.
    DefineSecret {
        /// Its name.
        name: String,
        /// Texts for people.
        display_info: DisplayInfo,
        /// JSON Schema that values fit.
        schema: Value,
    }
    /// Which secret to find.
    FindSecret {
        /// Its name.
        name: String,
    }
    /// Where a secret is.
    SecretRef {
        /// Id of its record.
        secret: String,
    }
}
