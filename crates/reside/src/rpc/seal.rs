//! The construction that seals calls: authenticated encryption between the keys of two accounts.
//!
//! * `shared = X25519(own sealer secret, peer's sealer key)`; an all-zero result is refused.
//! * `key = HKDF-SHA256(salt = "reside-rpc/1", ikm = shared, info = direction ‖ caller ‖ callee)`, where direction is
//!   `request` or `response`, and caller and callee are account id and agent id, each with its length before it. So a
//!   key serves one direction between one caller and one callee; nothing can be reflected.
//! * a request is `XChaCha20-Poly1305(key, nonce, body, header ‖ contract ‖ method)`: the header travels in clear and
//!   names caller, callee, epoch, time, deadline and the random nonce.
//! * a response is sealed with a nonce of its own and bound to the request by its header and to its status.
//!
//! No clock and no randomness in here. What it promises, and what not, stands in `docs/rpc-security.md`.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use cojson::ids::{AccountId, AgentId};
use cojson::secrets::AgentSecret;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::wire::CallHeader;
use crate::identity::Identity;

const DOMAIN: &[u8] = b"reside-rpc/1";
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// One end of a call: an account and the agent that acts for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Party {
    /// The account.
    pub account: AccountId,
    /// Its current agent.
    pub agent: AgentId,
}

/// The text doesn't belong to these keys, this header, this method, or was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not match")]
pub struct Unsealed;

/// The two keys between a caller and a callee. Cheap to clone; wiped with the last clone.
#[derive(Clone)]
pub struct PairKeys(Arc<Keys>);

struct Keys {
    request: XChaCha20Poly1305,
    response: XChaCha20Poly1305,
}

impl PairKeys {
    /// Derives the keys at either end: `own` is the secret of one party, `peer` the other one.
    pub fn derive(
        own: &AgentSecret,
        peer: &AgentId,
        caller: &Party,
        callee: &Party,
    ) -> Result<Self, Unsealed> {
        let shared = own.sealer().shared(peer.sealer());
        if shared.iter().all(|byte| *byte == 0) {
            return Err(Unsealed);
        }
        let extracted = Hkdf::<Sha256>::new(Some(DOMAIN), &*shared);
        let key = |direction: &[u8]| {
            let mut info = Vec::new();
            let parts = [
                direction,
                caller.account.as_str().as_bytes(),
                caller.agent.as_str().as_bytes(),
                callee.account.as_str().as_bytes(),
                callee.agent.as_str().as_bytes(),
            ];
            parts.iter().for_each(|part| push_part(&mut info, part));
            let mut key = Zeroizing::new([0; 32]);
            extracted
                .expand(&info, &mut *key)
                .expect("32 bytes are a valid length");
            XChaCha20Poly1305::new((&*key).into())
        };
        Ok(Self(Arc::new(Keys {
            request: key(b"request"),
            response: key(b"response"),
        })))
    }

    /// Seals the body of a request.
    pub fn seal_request(
        &self,
        header: &CallHeader,
        contract: &Identity,
        method: &str,
        body: &[u8],
    ) -> Vec<u8> {
        let aad = request_aad(header, contract, method);
        seal(&self.0.request, header.nonce(), body, &aad)
    }

    /// Opens the body of a request.
    pub fn open_request(
        &self,
        header: &CallHeader,
        contract: &Identity,
        method: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Unsealed> {
        let aad = request_aad(header, contract, method);
        open(&self.0.request, header.nonce(), sealed, &aad)
    }

    /// Seals the body of the response to a request: the nonce, then the sealed text.
    pub fn seal_response(
        &self,
        to: &CallHeader,
        status: u16,
        nonce: &[u8; NONCE_BYTES],
        body: &[u8],
    ) -> Vec<u8> {
        let sealed = seal(&self.0.response, nonce, body, &response_aad(to, status));
        [&nonce[..], &sealed].concat()
    }

    /// Opens the body of the response to a request.
    pub fn open_response(&self, to: &CallHeader, status: u16, sealed: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(Unsealed)?;
        open(&self.0.response, nonce, sealed, &response_aad(to, status))
    }
}

fn seal(key: &XChaCha20Poly1305, nonce: &[u8; NONCE_BYTES], body: &[u8], aad: &[u8]) -> Vec<u8> {
    let nonce: &XNonce = nonce.into();
    key.encrypt(nonce, Payload { msg: body, aad })
        .expect("a message in memory is not too long")
}

fn open(
    key: &XChaCha20Poly1305,
    nonce: &[u8; NONCE_BYTES],
    sealed: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, Unsealed> {
    let nonce: &XNonce = nonce.into();
    key.decrypt(nonce, Payload { msg: sealed, aad })
        .map_err(|_| Unsealed)
}

fn request_aad(header: &CallHeader, contract: &Identity, method: &str) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [
        b"request",
        header.as_bytes(),
        contract.as_str().as_bytes(),
        method.as_bytes(),
    ] {
        push_part(&mut aad, part);
    }
    aad
}

fn response_aad(to: &CallHeader, status: u16) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [b"response", to.as_bytes(), &status.to_be_bytes()] {
        push_part(&mut aad, part);
    }
    aad
}

/// Appends a part with its length before it, so that no two lists of parts give the same bytes.
fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_be_bytes());
    out.extend_from_slice(part);
}
