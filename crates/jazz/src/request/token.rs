//! Auth tokens: an account's signature over the time, as `generateAuthToken` and `authenticateRequest` of jazz-tools have
//! them.

use std::time::Duration;

use cojson::crypto::{secure_hash, sign, verify};
use cojson::ids::{AccountId, CoId, Signature};
use cojson::transaction::Timestamp;
use serde_json::{Value, json};

use crate::driver::now;
use crate::node::Node;

/// How long a token is good.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// How far ahead of our clock a token may be dated.
pub const MAX_TOKEN_SKEW: Duration = Duration::from_secs(10);

/// The scheme of the header `Authorization`.
const SCHEME: &str = "Jazz ";

/// Longest token that is looked at.
const MAX_TOKEN_BYTES: usize = 1024;

/// A token is there and doesn't count. The texts are those of jazz-tools, where it refuses the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not in the form of a token.
    #[error("Invalid token")]
    Malformed,
    /// Older than [`TOKEN_LIFE`].
    #[error("Token expired")]
    Expired,
    /// Dated further ahead than [`MAX_TOKEN_SKEW`].
    #[error("Token is from the future")]
    FromTheFuture,
    /// The account can't be had.
    #[error("Failed to load account")]
    UnknownAccount,
    /// Not signed by the account's current signer.
    #[error("Invalid signature")]
    Signature,
}

/// Makes a token of the node's account, for the header `Authorization: Jazz {token}`. It is good for a minute. A node that
/// was logged out makes none.
pub fn generate_auth_token(node: &Node) -> Option<String> {
    let (account, now) = (node.account_id(), now());
    let signature = sign(node.credentials()?.agent_secret.signer(), &signed(account, now));
    Some(format!("{signature}~{account}~{now}"))
}

/// The account whose token is in a header `Authorization`; `None` without such a header, or if it is of another scheme.
///
/// A token names no audience and no request, and may be used any number of times within its life by whoever sees it: it tells
/// who *may* be there, and is no proof for anything that matters.
pub async fn authenticate_request(
    node: &Node,
    authorization: Option<&str>,
) -> Result<Option<AccountId>, TokenError> {
    authenticate_request_at(node, authorization, now()).await
}

/// As [`authenticate_request`], by another clock than the system's.
pub async fn authenticate_request_at(
    node: &Node,
    authorization: Option<&str>,
    now: Timestamp,
) -> Result<Option<AccountId>, TokenError> {
    match authorization.and_then(|header| header.strip_prefix(SCHEME)) {
        Some(token) => check_token(node, token, now).await.map(Some),
        None => Ok(None),
    }
}

async fn check_token(node: &Node, token: &str, now: Timestamp) -> Result<AccountId, TokenError> {
    let (signature, account, made) = parse(token).ok_or(TokenError::Malformed)?;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if made.0.saturating_add(millis(TOKEN_LIFE)) < now.0 {
        return Err(TokenError::Expired);
    }
    if made.0 > now.0.saturating_add(millis(MAX_TOKEN_SKEW)) {
        return Err(TokenError::FromTheFuture);
    }
    let loaded = node.load_account(&account).await;
    loaded.map_err(|_| TokenError::UnknownAccount)?;
    let current = node.core(|core, _| core.current_agent(&account));
    let is_signed = current.is_some_and(|agent| verify(&signature, &signed(&account, made), agent.signer()));
    match is_signed {
        true => Ok(account),
        false => Err(TokenError::Signature),
    }
}

fn parse(token: &str) -> Option<(Signature, AccountId, Timestamp)> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut parts = token.split('~');
    let (signature, account, made) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = made.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !is_number {
        return None;
    }
    let account: CoId = account.parse().ok()?;
    Some((
        signature.parse().ok()?,
        account.into(),
        Timestamp(made.parse().ok()?),
    ))
}

/// What a token signs.
fn signed(account: &AccountId, made: Timestamp) -> Value {
    json!(secure_hash(&json!({"id": account, "createdAt": made})))
}
