//! Checks what callers ask for before anything is written.

use alpha_v1::AlphaData;
use reside::permission::instance_id;
use reside::prelude::*;
use serde_json::{Map, Value};

/// Longest name of a user, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Longest name of a realm, in bytes.
const REALM_BYTES_MAX: usize = 64;
/// Would make `realm:read` look like `realm:read:all`.
const RESERVED_REALM: &str = "all";

/// A permission that a contract defines, with params that fit.
#[derive(Clone, Debug)]
pub struct CheckedPermission {
    pub contract: Identity,
    pub permission: String,
    pub instance_id: Option<String>,
    pub params: Map<String, Value>,
}

/// Checks a permission against the contract that Alpha knows.
pub async fn permission(
    alpha: &Co<AlphaData>,
    contract: &str,
    permission: &str,
    params: Option<Value>,
) -> RpcResult<CheckedPermission> {
    let identity: Identity = contract.parse().map_err(|error| {
        RpcError::malformed(format!("`{contract}` is not the identity of a contract: {error}"))
    })?;
    let found = alpha_v1::contract_by_identity(alpha, &identity).await;
    let found = found.map_err(RpcError::internal)?;
    let found =
        found.ok_or_else(|| RpcError::not_found(format!("the contract {identity} is not known here")))?;
    let manifest = found.get().map_err(RpcError::internal)?.manifest;
    let defined = manifest.permissions.get(permission).ok_or_else(|| {
        let known: Vec<&str> = manifest.permissions.keys().map(String::as_str).collect();
        RpcError::not_found(format!(
            "{identity} has no permission {permission:?}; it has: {}",
            known.join(", ")
        ))
    })?;
    let params = match params {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(RpcError::malformed("the params are no JSON object")),
    };
    defined
        .check_params(&params)
        .map_err(|error| RpcError::malformed(format!("the params don't fit: {error}")))?;
    Ok(CheckedPermission {
        instance_id: instance_id(&defined.instance_keys, &params),
        contract: identity,
        permission: permission.to_owned(),
        params,
    })
}

/// Checks what a user shall be called.
pub fn user_name(name: &str) -> RpcResult<()> {
    let is_name = !name.trim().is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    is_name.then_some(()).ok_or_else(|| {
        RpcError::malformed(format!(
            "the name of a user has 1 to {NAME_CHARS_MAX} characters, none of them a control character"
        ))
    })
}

/// Checks what a realm shall be called.
pub fn realm_name(name: &str) -> RpcResult<()> {
    let is_name = name.len() <= REALM_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
        && name != RESERVED_REALM;
    is_name.then_some(()).ok_or_else(|| {
        RpcError::malformed(format!(
            "the name of a realm has up to {REALM_BYTES_MAX} of a-z, 0-9 and `-`, begins with a letter, and isn't \
             `{RESERVED_REALM}`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        for name in ["telegram", "a", "guests-2", &"a".repeat(64)] {
            assert!(realm_name(name).is_ok(), "{name}");
        }
        for name in ["", "all", "Telegram", "2", "a b", "a:b", "-a", &"a".repeat(65)] {
            assert!(realm_name(name).is_err(), "{name}");
        }
        assert!(user_name("Ада Лавлейс").is_ok());
        for name in ["", "  ", "a\nb", &"a".repeat(201)] {
            assert!(user_name(name).is_err(), "{name:?}");
        }
    }
}
