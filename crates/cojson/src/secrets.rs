//! Secret keys. None shows its content in `Debug` or `Display`; all are wiped when the last clone is dropped.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Entropy;
use crate::ids::{AgentId, ParseIdError, SealerId, SignerId, decode, encode};

/// Keeps the content out of logs, and compares in constant time.
macro_rules! secret_traits {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                use subtle::ConstantTimeEq;
                self.expose()
                    .as_bytes()
                    .ct_eq(other.expose().as_bytes())
                    .into()
            }
        }

        impl Eq for $name {}
    };
}

/// An Ed25519 private key: `signerSecret_z…`.
#[derive(Clone)]
pub struct SignerSecret(Arc<SignerSecretInner>);

struct SignerSecretInner {
    text: Zeroizing<String>,
    key: SigningKey,
    id: SignerId,
}

impl SignerSecret {
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(bytes);
        let id = SignerId::from_bytes(key.verifying_key().to_bytes());
        let text = Zeroizing::new(encode("signerSecret_z", bytes));
        Self(Arc::new(SignerSecretInner { text, key, id }))
    }

    /// The public key.
    pub fn id(&self) -> &SignerId {
        &self.0.id
    }

    /// The secret as text.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.0.key
    }
}

impl FromStr for SignerSecret {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "signerSecret_z").map(Zeroizing::new);
        bytes
            .map(|bytes| Self::from_bytes(&bytes))
            .ok_or(ParseIdError::new("signer secret"))
    }
}

secret_traits!(SignerSecret);

/// An X25519 private key: `sealerSecret_z…`.
#[derive(Clone)]
pub struct SealerSecret(Arc<SealerSecretInner>);

struct SealerSecretInner {
    text: Zeroizing<String>,
    key: StaticSecret,
    id: SealerId,
    /// Secrets shared with others, by their keys: finding one costs far more than using it.
    shared: Mutex<HashMap<[u8; 32], SharedSecret>>,
}

/// Boxed, so that a table that grows leaves no copies behind.
type SharedSecret = Box<Zeroizing<[u8; 32]>>;

/// Most shared secrets that are kept; beyond it all are found anew.
const MAX_SHARED: usize = 4096;

impl SealerSecret {
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let key = StaticSecret::from(*bytes);
        let id = SealerId::from_bytes(PublicKey::from(&key).to_bytes());
        let text = Zeroizing::new(encode("sealerSecret_z", bytes));
        let shared = Mutex::default();
        Self(Arc::new(SealerSecretInner {
            text,
            key,
            id,
            shared,
        }))
    }

    /// The public key.
    pub fn id(&self) -> &SealerId {
        &self.0.id
    }

    /// The secret as text.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// The X25519 secret shared with the holder of `other`.
    pub fn shared(&self, other: &SealerId) -> Zeroizing<[u8; 32]> {
        let known = || self.0.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = known().get(other.bytes()) {
            return Zeroizing::clone(secret);
        }
        let public = PublicKey::from(*other.bytes());
        let secret = Zeroizing::new(self.0.key.diffie_hellman(&public).to_bytes());
        let mut known = known();
        if known.len() >= MAX_SHARED {
            known.clear();
        }
        known.insert(*other.bytes(), Box::new(secret.clone()));
        secret
    }
}

impl FromStr for SealerSecret {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "sealerSecret_z").map(Zeroizing::new);
        bytes
            .map(|bytes| Self::from_bytes(&bytes))
            .ok_or(ParseIdError::new("sealer secret"))
    }
}

secret_traits!(SealerSecret);

/// Both private keys of an account or an invite: `{sealerSecret}/{signerSecret}`.
#[derive(Clone)]
pub struct AgentSecret(Arc<AgentSecretInner>);

struct AgentSecretInner {
    text: Zeroizing<String>,
    sealer: SealerSecret,
    signer: SignerSecret,
    id: AgentId,
}

impl AgentSecret {
    pub(crate) fn new(sealer: SealerSecret, signer: SignerSecret) -> Self {
        let text = Zeroizing::new(format!("{}/{}", sealer.expose(), signer.expose()));
        let id = AgentId::new(sealer.id().clone(), signer.id().clone());
        Self(Arc::new(AgentSecretInner {
            text,
            sealer,
            signer,
            id,
        }))
    }

    /// The agent of a secret seed.
    pub fn from_seed(seed: &SecretSeed) -> Self {
        let derive = |context: &[u8]| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(context).update(seed.bytes());
            Zeroizing::new(*hasher.finalize().as_bytes())
        };
        let sealer = SealerSecret::from_bytes(&derive(b"seal"));
        Self::new(sealer, SignerSecret::from_bytes(&derive(b"sign")))
    }

    /// The public keys.
    pub fn id(&self) -> &AgentId {
        &self.0.id
    }

    /// The half that unseals.
    pub fn sealer(&self) -> &SealerSecret {
        &self.0.sealer
    }

    /// The half that signs.
    pub fn signer(&self) -> &SignerSecret {
        &self.0.signer
    }

    /// The secret as text.
    pub fn expose(&self) -> &str {
        &self.0.text
    }
}

impl FromStr for AgentSecret {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError::new("agent secret");
        let (sealer, signer) = text.split_once('/').ok_or(error.clone())?;
        let sealer = sealer.parse().map_err(|_| error.clone())?;
        let signer = signer.parse().map_err(|_| error)?;
        Ok(Self::new(sealer, signer))
    }
}

secret_traits!(AgentSecret);

/// A symmetric key of a group: `keySecret_z…`.
#[derive(Clone)]
pub struct KeySecret(Arc<KeySecretInner>);

struct KeySecretInner {
    text: Zeroizing<String>,
    bytes: Zeroizing<[u8; 32]>,
}

impl KeySecret {
    /// A new random key.
    pub fn random(rng: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill(&mut *bytes);
        let text = Zeroizing::new(encode("keySecret_z", &*bytes));
        Self(Arc::new(KeySecretInner { text, bytes }))
    }

    /// The secret as text.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0.bytes
    }

    /// The key pair that outsiders seal to when they hand keys to the group that reads with this key.
    pub fn group_sealer(&self) -> SealerSecret {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"groupSealer").update(self.expose().as_bytes());
        SealerSecret::from_bytes(&Zeroizing::new(*hasher.finalize().as_bytes()))
    }
}

impl FromStr for KeySecret {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = decode(text, "keySecret_z").ok_or(ParseIdError::new("key secret"))?;
        let text = Zeroizing::new(text.to_owned());
        Ok(Self(Arc::new(KeySecretInner {
            text,
            bytes: Zeroizing::new(bytes),
        })))
    }
}

secret_traits!(KeySecret);

/// 32 random bytes that an agent secret is derived from. As text it is an invite: `inviteSecret_z…`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretSeed([u8; 32]);

/// An invite is the seed of the agent that may accept it.
pub type InviteSecret = SecretSeed;

impl SecretSeed {
    /// A new random seed.
    pub fn random(rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// The seed with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept secret.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The seed as the text of an invite.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(encode("inviteSecret_z", &self.0))
    }
}

impl FromStr for SecretSeed {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        decode(text, "inviteSecret_z")
            .map(Self)
            .ok_or(ParseIdError::new("invite secret"))
    }
}

secret_traits!(SecretSeed);
