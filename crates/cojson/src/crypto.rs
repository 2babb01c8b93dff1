//! The primitives of the format: hashes, signatures, and three ways to hide a value.
//!
//! Symmetric encryption here carries no authentication tag; a wrong key gives garbage. What is decrypted must parse, and
//! its integrity comes from the session's signature alone.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signer as _, Verifier as _};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::Entropy;
use crate::ids::{CoId, Hash, KeyId, SealerId, SessionId, ShortHash, Signature, SignerId};
use crate::json::{stable_stringify, write_string};
use crate::secrets::{KeySecret, SealerSecret, SignerSecret};

/// base64url, padding written, padding optional when read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const TAG_LENGTH: usize = 16;

/// Bytes as base64url with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Bytes of base64url text, with or without padding.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// BLAKE3 of the stable text of `value`.
pub fn secure_hash(value: &Value) -> Hash {
    Hash::from_digest(&blake3::hash(stable_stringify(value).as_bytes()))
}

/// The first 19 bytes of [`secure_hash`].
pub fn short_hash(value: &Value) -> ShortHash {
    ShortHash::from_digest(&blake3::hash(stable_stringify(value).as_bytes()))
}

/// Signs the stable text of `value`.
pub fn sign(secret: &SignerSecret, value: &Value) -> Signature {
    sign_text(secret, &stable_stringify(value))
}

/// Whether `signature` is `signer`'s of the stable text of `value`.
pub fn verify(signature: &Signature, value: &Value, signer: &SignerId) -> bool {
    verify_text(signature, &stable_stringify(value), signer)
}

pub(crate) fn sign_text(secret: &SignerSecret, text: &str) -> Signature {
    Signature::from_bytes(secret.key().sign(text.as_bytes()).to_bytes())
}

pub(crate) fn verify_text(signature: &Signature, text: &str, signer: &SignerId) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature.bytes());
    signer
        .key()
        .is_some_and(|key| key.verify(text.as_bytes(), &signature).is_ok())
}

/// A nonce: the hash of a text that no other use of the key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 24]);

impl Nonce {
    /// The nonce of stable JSON `material`.
    pub fn of(material: &Value) -> Self {
        Self::of_text(&stable_stringify(material))
    }

    /// The nonce of the transaction `index` of `session` in the CoValue `id`.
    pub fn of_transaction(id: &CoId, session: &SessionId, index: usize) -> Self {
        Self::of_text(&format!(
            r#"{{"in":"{id}","tx":{{"sessionID":"{session}","txIndex":{index}}}}}"#
        ))
    }

    fn of_keys(encrypted: &KeyId, encrypting: &KeyId) -> Self {
        Self::of_text(&format!(
            r#"{{"encryptedID":"{encrypted}","encryptingID":"{encrypting}"}}"#
        ))
    }

    fn of_text(material: &str) -> Self {
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&blake3::hash(material.as_bytes()).as_bytes()[..24]);
        Self(nonce)
    }

    /// The 24 bytes.
    pub fn bytes(&self) -> &[u8; 24] {
        &self.0
    }
}

/// Encrypts `text` as it is: `encrypted_U…`.
pub fn encrypt(text: &str, key: &KeySecret, nonce: &Nonce) -> String {
    let mut bytes = text.as_bytes().to_vec();
    XSalsa20::new(key.bytes().into(), nonce.bytes().into()).apply_keystream(&mut bytes);
    prefixed("encrypted_U", &bytes)
}

/// Decrypts `encrypted_U…`; `None` if that isn't UTF-8, which is what most wrong keys give.
pub fn decrypt(encrypted: &str, key: &KeySecret, nonce: &Nonce) -> Option<String> {
    let mut bytes = from_base64(encrypted.strip_prefix("encrypted_U")?)?;
    XSalsa20::new(key.bytes().into(), nonce.bytes().into()).apply_keystream(&mut bytes);
    String::from_utf8(bytes).ok()
}

/// Encrypts one key by another, so that who holds `by` can read what `secret` protects.
pub fn encrypt_key_secret(id: &KeyId, secret: &KeySecret, by_id: &KeyId, by: &KeySecret) -> String {
    let text = Zeroizing::new(quoted(secret.expose()));
    encrypt(&text, by, &Nonce::of_keys(id, by_id))
}

/// Decrypts what [`encrypt_key_secret`] made.
pub fn decrypt_key_secret(encrypted: &str, id: &KeyId, by_id: &KeyId, by: &KeySecret) -> Option<KeySecret> {
    parse_key_secret(&Zeroizing::new(decrypt(
        encrypted,
        by,
        &Nonce::of_keys(id, by_id),
    )?))
}

/// Seals `text` from one party to another: `sealed_U…`.
pub fn seal(text: &str, from: &SealerSecret, to: &SealerId, nonce: &Nonce) -> String {
    prefixed("sealed_U", &secretbox(text.as_bytes(), &from.shared(to), nonce))
}

/// Opens what [`seal`] made; `None` if it isn't from `from` to us at this place.
pub fn unseal(sealed: &str, to: &SealerSecret, from: &SealerId, nonce: &Nonce) -> Option<String> {
    let bytes = from_base64(sealed.strip_prefix("sealed_U")?)?;
    String::from_utf8(open_secretbox(&bytes, &to.shared(from), nonce)?).ok()
}

/// Seals `text` to whoever holds the group's sealer, from nobody in particular: `sealedForGroup_U…`.
pub fn seal_for_group(text: &str, to: &SealerId, nonce: &Nonce, rng: &mut dyn Entropy) -> String {
    let mut ephemeral = Zeroizing::new([0; 32]);
    rng.fill(&mut *ephemeral);
    let ephemeral = SealerSecret::from_bytes(&ephemeral);
    let mut bytes = ephemeral.id().bytes().to_vec();
    bytes.extend(secretbox(text.as_bytes(), &ephemeral.shared(to), nonce));
    prefixed("sealedForGroup_U", &bytes)
}

/// Opens what [`seal_for_group`] made.
pub fn unseal_for_group(sealed: &str, to: &SealerSecret, nonce: &Nonce) -> Option<String> {
    let bytes = from_base64(sealed.strip_prefix("sealedForGroup_U")?)?;
    let (ephemeral, bytes) = bytes.split_first_chunk::<32>()?;
    let shared = to.shared(&SealerId::from_bytes(*ephemeral));
    String::from_utf8(open_secretbox(bytes, &shared, nonce)?).ok()
}

/// Seals a key secret to a member.
pub fn seal_key(secret: &KeySecret, from: &SealerSecret, to: &SealerId, nonce: &Nonce) -> String {
    seal(&Zeroizing::new(quoted(secret.expose())), from, to, nonce)
}

/// Opens what [`seal_key`] made.
pub fn unseal_key(sealed: &str, to: &SealerSecret, from: &SealerId, nonce: &Nonce) -> Option<KeySecret> {
    parse_key_secret(&Zeroizing::new(unseal(sealed, to, from, nonce)?))
}

/// Seals a key secret to a group.
pub fn seal_key_for_group(secret: &KeySecret, to: &SealerId, nonce: &Nonce, rng: &mut dyn Entropy) -> String {
    seal_for_group(&Zeroizing::new(quoted(secret.expose())), to, nonce, rng)
}

/// Opens what [`seal_key_for_group`] made.
pub fn unseal_key_for_group(sealed: &str, to: &SealerSecret, nonce: &Nonce) -> Option<KeySecret> {
    parse_key_secret(&Zeroizing::new(unseal_for_group(sealed, to, nonce)?))
}

/// NaCl's secretbox, tag first, with the raw X25519 output as its key.
fn secretbox(text: &[u8], key: &[u8; 32], nonce: &Nonce) -> Vec<u8> {
    let mut cipher = XSalsa20::new(key.into(), nonce.bytes().into());
    let mut mac_key = Zeroizing::new([0; 32]);
    cipher.apply_keystream(&mut *mac_key);
    let mut bytes = vec![0; TAG_LENGTH];
    bytes.extend_from_slice(text);
    cipher.apply_keystream(&mut bytes[TAG_LENGTH..]);
    let tag = Poly1305::new((&*mac_key).into()).compute_unpadded(&bytes[TAG_LENGTH..]);
    bytes[..TAG_LENGTH].copy_from_slice(&tag);
    bytes
}

fn open_secretbox(bytes: &[u8], key: &[u8; 32], nonce: &Nonce) -> Option<Vec<u8>> {
    let (tag, text) = bytes.split_first_chunk::<TAG_LENGTH>()?;
    let mut cipher = XSalsa20::new(key.into(), nonce.bytes().into());
    let mut mac_key = Zeroizing::new([0; 32]);
    cipher.apply_keystream(&mut *mac_key);
    let expected = Poly1305::new((&*mac_key).into()).compute_unpadded(text);
    if !bool::from(expected.as_slice().ct_eq(tag)) {
        return None;
    }
    let mut text = text.to_vec();
    cipher.apply_keystream(&mut text);
    Some(text)
}

fn parse_key_secret(json: &str) -> Option<KeySecret> {
    json.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

fn prefixed(prefix: &str, bytes: &[u8]) -> String {
    let mut out = String::with_capacity(prefix.len() + bytes.len() * 4 / 3 + 4);
    out.push_str(prefix);
    BASE64.encode_string(bytes, &mut out);
    out
}
