//! Identifiers: each kind its own type, checked when parsed, cheap to clone, serialised as its text.
//!
//! Ids of values, keys and sessions are checked for prefix, alphabet and length only: they are names, and a wrong one
//! names nothing. Public keys and signatures are decoded when parsed.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use ed25519_dalek::VerifyingKey;

use crate::Entropy;

/// Longest text after the prefix of an id that is only a name.
const MAX_NAME_LENGTH: usize = 64;

/// The text is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct ParseIdError {
    kind: &'static str,
}

impl ParseIdError {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self { kind }
    }
}

fn is_base58(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    !text.is_empty() && text.len() <= MAX_NAME_LENGTH && text.bytes().all(allowed)
}

pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + bytes.len() * 3 / 2);
    text.push_str(prefix);
    if let Ok(bytes) = <&[u8; 32]>::try_from(bytes) {
        let mut digits = [0; five8::BASE58_ENCODED_32_MAX_LEN];
        let length = five8::encode_32(bytes, &mut digits);
        push_digits(&mut text, &digits[..usize::from(length)]);
    } else if let Ok(bytes) = <&[u8; 64]>::try_from(bytes) {
        let mut digits = [0; five8::BASE58_ENCODED_64_MAX_LEN];
        let length = five8::encode_64(bytes, &mut digits);
        push_digits(&mut text, &digits[..usize::from(length)]);
    } else {
        text.push_str(&bs58::encode(bytes).into_string());
    }
    text
}

fn push_digits(text: &mut String, digits: &[u8]) {
    text.extend(digits.iter().map(|digit| char::from(*digit)));
}

pub(crate) fn decode<const N: usize>(text: &str, prefix: &str) -> Option<[u8; N]> {
    let encoded = text.strip_prefix(prefix)?;
    // Bounded before decoding: base58 takes time quadratic in the length.
    if encoded.len() > N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    if let Ok(bytes) = <&mut [u8; 32]>::try_from(&mut bytes[..]) {
        five8::decode_32(encoded, bytes).ok()?;
    } else if let Ok(bytes) = <&mut [u8; 64]>::try_from(&mut bytes[..]) {
        five8::decode_64(encoded, bytes).ok()?;
    } else {
        let length = bs58::decode(encoded).onto(&mut bytes[..]).ok()?;
        return (length == N).then_some(bytes);
    }
    Some(bytes)
}

/// What every id has: its text, `FromStr`, `Display`, `Debug`, order and serde by that text.
macro_rules! text_traits {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                self.text()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.text() == other.text()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.text().cmp(other.text())
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.text().hash(state);
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.text()
            }
        }

        /// Ids hash and compare as their text, so maps keyed by an id can be asked with plain text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.text()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = ParseIdError;

            fn try_from(text: &str) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.text())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// An id that is a prefix and a base58 name.
macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<str>);

        impl $name {
            fn text(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let name = text.strip_prefix($prefix).filter(|name| is_base58(name));
                name.map(|_| Self(text.into())).ok_or(ParseIdError::new($kind))
            }
        }

        text_traits!($name);
    };
}

name_id!(
    /// Names a CoValue: `co_z…`, made of the hash of its header.
    CoId, "co_z", "CoValue id"
);
name_id!(
    /// Names a symmetric key of a group: `key_z…`.
    KeyId, "key_z", "key id"
);
name_id!(
    /// A BLAKE3 hash of stable JSON: `hash_z…`.
    Hash, "hash_z", "hash"
);
name_id!(
    /// The first 19 bytes of a BLAKE3 hash of stable JSON: `shortHash_z…`.
    ShortHash, "shortHash_z", "short hash"
);

impl CoId {
    pub(crate) fn from_digest(digest: &blake3::Hash) -> Self {
        Self(encode("co_z", &digest.as_bytes()[..19]).into())
    }
}

impl KeyId {
    /// A new random key id.
    pub fn random(rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 12];
        rng.fill(&mut bytes);
        Self(encode("key_z", &bytes).into())
    }
}

impl Hash {
    pub(crate) fn from_digest(digest: &blake3::Hash) -> Self {
        Self(encode("hash_z", digest.as_bytes()).into())
    }
}

impl ShortHash {
    pub(crate) fn from_digest(digest: &blake3::Hash) -> Self {
        Self(encode("shortHash_z", &digest.as_bytes()[..19]).into())
    }
}

/// A CoValue id that names an account.
#[derive(Clone)]
pub struct AccountId(CoId);

impl AccountId {
    fn text(&self) -> &str {
        self.0.text()
    }

    /// The account as a CoValue.
    pub fn as_co_id(&self) -> &CoId {
        &self.0
    }
}

impl From<CoId> for AccountId {
    fn from(id: CoId) -> Self {
        Self(id)
    }
}

impl From<AccountId> for CoId {
    fn from(id: AccountId) -> Self {
        id.0
    }
}

impl FromStr for AccountId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse()
            .map(Self)
            .map_err(|_| ParseIdError::new("account id"))
    }
}

text_traits!(AccountId);

/// An Ed25519 public key: `signer_z…`.
#[derive(Clone)]
pub struct SignerId(Arc<SignerIdInner>);

struct SignerIdInner {
    text: Box<str>,
    bytes: [u8; 32],
    /// Decompressed on first use and kept: it costs a fifth of a verification.
    key: OnceLock<Option<VerifyingKey>>,
}

impl SignerId {
    fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let text = encode("signer_z", &bytes).into();
        Self(Arc::new(SignerIdInner {
            text,
            bytes,
            key: OnceLock::new(),
        }))
    }

    /// The key, unless the bytes are no point of the curve.
    pub(crate) fn key(&self) -> Option<&VerifyingKey> {
        let key = || VerifyingKey::from_bytes(&self.0.bytes).ok();
        self.0.key.get_or_init(key).as_ref()
    }
}

impl FromStr for SignerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "signer_z").ok_or(ParseIdError::new("signer id"))?;
        Ok(Self(Arc::new(SignerIdInner {
            text: text.into(),
            bytes,
            key: OnceLock::new(),
        })))
    }
}

text_traits!(SignerId);

/// An X25519 public key: `sealer_z…`.
#[derive(Clone)]
pub struct SealerId {
    text: Arc<str>,
    bytes: [u8; 32],
}

impl SealerId {
    fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self {
            text: encode("sealer_z", &bytes).into(),
            bytes,
        }
    }

    /// The public key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl FromStr for SealerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "sealer_z").ok_or(ParseIdError::new("sealer id"))?;
        Ok(Self {
            text: text.into(),
            bytes,
        })
    }
}

text_traits!(SealerId);

/// The two public keys of an account or an invite: `{sealer}/{signer}`.
#[derive(Clone)]
pub struct AgentId(Arc<AgentIdInner>);

struct AgentIdInner {
    text: Box<str>,
    sealer: SealerId,
    signer: SignerId,
}

impl AgentId {
    fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn new(sealer: SealerId, signer: SignerId) -> Self {
        let text = format!("{sealer}/{signer}").into();
        Self(Arc::new(AgentIdInner { text, sealer, signer }))
    }

    /// The half that verifies signatures.
    pub fn signer(&self) -> &SignerId {
        &self.0.signer
    }

    /// The half that secrets are sealed for.
    pub fn sealer(&self) -> &SealerId {
        &self.0.sealer
    }
}

impl FromStr for AgentId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError::new("agent id");
        let (sealer, signer) = text.split_once('/').ok_or(error.clone())?;
        let sealer = sealer.parse().map_err(|_| error.clone())?;
        let signer = signer.parse().map_err(|_| error)?;
        Ok(Self(Arc::new(AgentIdInner {
            text: text.into(),
            sealer,
            signer,
        })))
    }
}

text_traits!(AgentId);

/// Who writes: an account, or a bare agent (an account inside itself, or an invite).
#[derive(Clone)]
pub enum Author {
    /// An account; its CoValue names the agent.
    Account(AccountId),
    /// An agent that speaks for itself.
    Agent(AgentId),
}

impl Author {
    fn text(&self) -> &str {
        match self {
            Self::Account(id) => id.text(),
            Self::Agent(id) => id.text(),
        }
    }

    /// The account, unless it is a bare agent.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Account(id) => Some(id),
            Self::Agent(_) => None,
        }
    }
}

impl From<AccountId> for Author {
    fn from(id: AccountId) -> Self {
        Self::Account(id)
    }
}

impl From<AgentId> for Author {
    fn from(id: AgentId) -> Self {
        Self::Agent(id)
    }
}

impl FromStr for Author {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.starts_with("sealer_") {
            text.parse().map(Self::Agent)
        } else {
            text.parse().map(Self::Account)
        }
    }
}

text_traits!(Author);

/// Names an append-only log of one writer: `{author}_session_z…`.
#[derive(Clone)]
pub struct SessionId(Arc<SessionIdInner>);

struct SessionIdInner {
    text: Box<str>,
    author: Author,
    is_delete: bool,
}

impl SessionId {
    fn text(&self) -> &str {
        &self.0.text
    }

    /// A new random session of `author`.
    pub fn random(author: Author, rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        let text = encode(&format!("{author}_session_z"), &bytes).into();
        Self(Arc::new(SessionIdInner {
            text,
            author,
            is_delete: false,
        }))
    }

    /// A new random session of `author` that may hold a deletion.
    pub fn random_delete(author: Author, rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 7];
        rng.fill(&mut bytes);
        let text = format!("{}$", encode(&format!("{author}_session_d"), &bytes)).into();
        Self(Arc::new(SessionIdInner {
            text,
            author,
            is_delete: true,
        }))
    }

    /// The same session with another author: an account writes into itself as its agent.
    pub fn with_author(&self, author: Author) -> Self {
        let suffix = &self.text()[self.0.author.text().len()..];
        let text = format!("{author}{suffix}").into();
        Self(Arc::new(SessionIdInner {
            text,
            author,
            is_delete: self.0.is_delete,
        }))
    }

    /// Who writes in this session.
    pub fn author(&self) -> &Author {
        &self.0.author
    }

    /// Whether a deletion may stand here.
    pub fn is_delete(&self) -> bool {
        self.0.is_delete
    }
}

impl FromStr for SessionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError::new("session id");
        let (author, name) = text.split_once("_session_").ok_or(error.clone())?;
        let author = author.parse().map_err(|_| error.clone())?;
        let ordinary = name.strip_prefix('z').is_some_and(is_base58);
        let is_delete = name
            .strip_prefix('d')
            .and_then(|n| n.strip_suffix('$'))
            .is_some_and(is_base58);
        if !ordinary && !is_delete {
            return Err(error);
        }
        Ok(Self(Arc::new(SessionIdInner {
            text: text.into(),
            author,
            is_delete,
        })))
    }
}

text_traits!(SessionId);

/// An Ed25519 signature: `signature_z…`.
#[derive(Clone)]
pub struct Signature {
    text: Arc<str>,
    bytes: [u8; 64],
}

impl Signature {
    fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn from_bytes(bytes: [u8; 64]) -> Self {
        Self {
            text: encode("signature_z", &bytes).into(),
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; 64] {
        &self.bytes
    }
}

impl FromStr for Signature {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "signature_z").ok_or(ParseIdError::new("signature"))?;
        Ok(Self {
            text: text.into(),
            bytes,
        })
    }
}

text_traits!(Signature);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode};

    fn check<const N: usize>(bytes: [u8; N]) {
        let text = encode("x_z", &bytes);
        assert_eq!(text, format!("x_z{}", bs58::encode(bytes).into_string()));
        assert_eq!(decode::<N>(&text, "x_z"), Some(bytes));
        for other in [
            format!("{text}1"),
            format!("x_z1{}", &text[3..]),
            text[..text.len() - 1].to_owned(),
        ] {
            let plain = bs58::decode(&other[3..]).into_vec().ok();
            let plain = plain.and_then(|bytes| bytes.try_into().ok());
            assert_eq!(decode::<N>(&other, "x_z"), plain, "{other}");
        }
    }

    proptest! {
        #[test]
        fn keys_and_signatures_have_their_text_in_base58(
            zeros in 0..64_usize, mut key: [u8; 32], mut signature in prop::collection::vec(any::<u8>(), 64),
        ) {
            // Leading zeros are digits of their own.
            key[..zeros / 2].fill(0);
            signature[..zeros].fill(0);
            check(key);
            check::<64>(signature.try_into().expect("64 bytes"));
        }
    }
}
