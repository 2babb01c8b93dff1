//! The methods of `secret.v1`.

use jazz::Co;
use reside::prelude::*;
use secret_v1::{
    DefineSecret, FindSecret, ManageDefinition, ReadDefinitions, ReadValue, ReadValues, Secret,
    SecretDefinition, SecretRef, Secrets, SecretsContract, WriteValue, WriteValues, check_schema,
    ensure_secret,
};

use crate::watch;

/// Longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// Would make `value:read` look like `value:read:all`.
const RESERVED: &str = "all";

/// The Secret Replica, as its callers see it.
pub struct Service(Implementation<SecretsContract>);

impl Service {
    /// Serves the contract.
    pub fn new(contract: Implementation<SecretsContract>) -> Self {
        Self(contract)
    }

    /// Tells whether an account has any permission for a secret.
    fn knows(&self, account: &AccountId, name: &str) -> bool {
        let name = || name.to_owned();
        self.0.check(account, &ReadDefinitions {})
            || self.0.check(account, &ReadValues {})
            || self.0.check(account, &WriteValues {})
            || self.0.check(account, &WriteValue { name: name() })
            || self.0.check(account, &ManageDefinition { name: name() })
    }
}

fn internal(error: impl Into<BoxError>) -> RpcError {
    RpcError::internal(error)
}

fn reference(secret: &Co<Secret>) -> SecretRef {
    SecretRef {
        secret: secret.id().to_string(),
    }
}

impl Secrets for Service {
    async fn define(&self, call: &Call, request: DefineSecret) -> RpcResult<SecretRef> {
        let DefineSecret {
            name,
            display_info,
            schema,
        } = request;
        self.0.require(call, &ManageDefinition { name: name.clone() })?;
        check_name(&name)?;
        display_info
            .check()
            .map_err(|error| RpcError::malformed(error.to_string()))?;
        check_schema(&schema).map_err(RpcError::malformed)?;
        let secret = ensure_secret(self.0.data(), &name).await.map_err(internal)?;
        let definition = SecretDefinition { display_info, schema };
        secret
            .update(|secret| {
                secret.definition = Some(definition);
                secret.owner.get_or_insert(call.made_by().clone());
            })
            .map_err(internal)?;
        watch::check(&secret).await.map_err(internal)?;
        Ok(reference(&secret))
    }

    async fn find(&self, call: &Call, request: FindSecret) -> RpcResult<SecretRef> {
        let FindSecret { name } = request;
        if !self.knows(call.made_by(), &name) {
            self.0.require(call, &ReadValue { name: name.clone() })?;
        }
        let (data, node) = (self.0.data().get().map_err(internal)?, self.0.data().node());
        let secrets = node.load(&data.secrets).await.map_err(internal)?;
        let unknown = || RpcError::not_found(format!("there is no secret {name:?}"));
        let secret = secrets.get(&name).map_err(internal)?.ok_or_else(unknown)?;
        let secret = node.load(&secret).await.map_err(internal)?;
        let is_defined = secret.get().map_err(internal)?.definition.is_some();
        is_defined.then(|| reference(&secret)).ok_or_else(unknown)
    }
}

fn check_name(name: &str) -> RpcResult<()> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(|char| {
            char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_' | '.' | '/')
        })
        && name != RESERVED;
    is_name.then_some(()).ok_or_else(|| {
        RpcError::malformed(format!(
            "the name of a secret has 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-`, `_`, `.` and `/`, and isn't `{RESERVED}`"
        ))
    })
}
