//! The five members that travel: the pieces of a message, signed.

use std::time::Duration;

use cojson::crypto::{secure_hash, sign, verify};
use cojson::ids::{CoId, Signature, SignerId};
use cojson::message::{Content, Message};
use cojson::secrets::SignerSecret;
use cojson::transaction::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::Invalid;

/// Longest body that is looked at.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How far from our clock, either way, a request may have been made.
pub const TIME_WINDOW: Duration = Duration::from_secs(60);

/// Most pieces of one body.
const MAX_PIECES: usize = 1_000;

/// A signed message on its way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    /// Content messages. They are signed as the JSON that travels, whatever is in it.
    content_pieces: Vec<Value>,
    /// The message.
    pub id: CoId,
    created_at: u64,
    auth_token: Signature,
    #[serde(rename = "signerID")]
    pub signer: SignerId,
}

impl Envelope {
    pub fn seal(pieces: Vec<Content>, id: CoId, now: Timestamp, secret: &SignerSecret) -> Self {
        let to_json = |content| {
            let message = Message::Content(Box::new(content));
            serde_json::to_value(&message).expect("a message has nothing that JSON can't say")
        };
        let content_pieces: Vec<Value> = pieces.into_iter().map(to_json).collect();
        let auth_token = sign(secret, &signed(&content_pieces, &id, now.0, secret.id()));
        Self {
            content_pieces,
            id,
            created_at: now.0,
            auth_token,
            signer: secret.id().clone(),
        }
    }

    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Invalid::Malformed(format!(
                "the body is longer than {MAX_BODY_BYTES} bytes"
            )));
        }
        let envelope: Self =
            serde_json::from_slice(body).map_err(|error| Invalid::Malformed(error.to_string()))?;
        envelope.bounded()
    }

    pub fn from_json(json: Value) -> Result<Self, Invalid> {
        let envelope: Self =
            serde_json::from_value(json).map_err(|error| Invalid::Malformed(error.to_string()))?;
        envelope.bounded()
    }

    fn bounded(self) -> Result<Self, Invalid> {
        if self.content_pieces.len() > MAX_PIECES {
            return Err(Invalid::Malformed(format!("more than {MAX_PIECES} pieces")));
        }
        Ok(self)
    }

    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("ids and texts are JSON")
    }

    pub fn check_time(&self, now: Timestamp) -> Result<(), Invalid> {
        let made = Timestamp(self.created_at);
        match is_near(made, now) {
            true => Ok(()),
            false if made < now => Err(Invalid::Expired),
            false => Err(Invalid::FromTheFuture),
        }
    }

    pub fn check_signature(&self) -> Result<(), Invalid> {
        let signed = signed(&self.content_pieces, &self.id, self.created_at, &self.signer);
        match verify(&self.auth_token, &signed, &self.signer) {
            true => Ok(()),
            false => Err(Invalid::Signature),
        }
    }

    pub fn pieces(&self) -> Result<Vec<Content>, Invalid> {
        let parse = |piece: &Value| match Message::parse(&piece.to_string()) {
            Ok(Message::Content(content)) => Ok(*content),
            Ok(_) => Err(Invalid::Malformed("a piece is not a content message".to_owned())),
            Err(error) => Err(Invalid::Malformed(error.to_string())),
        };
        self.content_pieces.iter().map(parse).collect()
    }
}

/// What the signature is over: the hash of all other members.
fn signed(pieces: &[Value], id: &CoId, created_at: u64, signer: &SignerId) -> Value {
    let members = json!({"contentPieces": pieces, "id": id, "createdAt": created_at, "signerID": signer});
    json!(secure_hash(&members))
}

/// Whether two times are within [`TIME_WINDOW`].
pub(super) fn is_near(time: Timestamp, now: Timestamp) -> bool {
    u128::from(time.0.abs_diff(now.0)) <= TIME_WINDOW.as_millis()
}
