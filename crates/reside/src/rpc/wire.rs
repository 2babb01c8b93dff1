//! How a call travels: one `POST`, its header in the HTTP header `reside-call`, its sealed body as the body.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cojson::ids::{AccountId, AgentId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Code, RpcError};
use super::seal::NONCE_BYTES;

/// HTTP header with the [`CallHeader`].
pub const CALL_HEADER: &str = "reside-call";
/// Content type of sealed bodies.
pub const SEALED: &str = "application/vnd.reside.rpc";
/// Longest call header that is looked at.
const CALL_HEADER_BYTES_MAX: usize = 2048;

/// Names one run of a callee. A request for another run is refused, so nothing can be replayed after a restart or to
/// a second instance.
pub type Epoch = String;

/// What a request says of itself in clear. All of it is authenticated by the seal, as the very text that travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallHeader {
    text: String,
    nonce: [u8; NONCE_BYTES],
    fields: Fields,
}

/// The fields of a [`CallHeader`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fields {
    /// Who calls.
    pub caller: AccountId,
    /// The keys it calls with.
    pub agent: AgentId,
    /// Who is called.
    pub callee: AccountId,
    /// Which run of the callee is meant; empty if the caller doesn't know any yet.
    pub epoch: Epoch,
    /// When the call was made, in milliseconds since 1970.
    pub made_at: u64,
    /// How long the caller waits, in milliseconds from `made_at`.
    pub timeout: u64,
    /// Names the call in the logs of both sides.
    pub request_id: String,
    /// Base64 of 24 random bytes; never used twice.
    nonce: String,
}

impl CallHeader {
    /// Makes the header of a new call.
    #[allow(clippy::too_many_arguments)] // one per field, made in one place
    pub fn new(
        caller: AccountId,
        agent: AgentId,
        callee: AccountId,
        epoch: Epoch,
        made_at: u64,
        timeout: Duration,
        request_id: String,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let encoded = BASE64.encode(nonce);
        let fields = Fields {
            caller,
            agent,
            callee,
            epoch,
            made_at,
            timeout,
            request_id,
            nonce: encoded,
        };
        let json = serde_json::to_vec(&fields).expect("ids and numbers are JSON");
        Self {
            text: BASE64.encode(json),
            nonce,
            fields,
        }
    }

    /// Reads the header of a received call.
    pub fn parse(text: &str) -> Result<Self, RpcError> {
        let malformed = || RpcError::malformed(format!("the header `{CALL_HEADER}` is malformed"));
        if text.len() > CALL_HEADER_BYTES_MAX {
            return Err(malformed());
        }
        let json = BASE64.decode(text).map_err(|_| malformed())?;
        let fields: Fields = serde_json::from_slice(&json).map_err(|_| malformed())?;
        let nonce = BASE64
            .decode(&fields.nonce)
            .ok()
            .and_then(|nonce| nonce.try_into().ok())
            .ok_or_else(malformed)?;
        let printable = |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable(&fields.request_id) || !printable(&fields.epoch) {
            return Err(malformed());
        }
        Ok(Self {
            text: text.to_owned(),
            nonce,
            fields,
        })
    }

    /// Returns the text that travels.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the bytes that the seal covers.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns the nonce of the request.
    pub fn nonce(&self) -> &[u8; NONCE_BYTES] {
        &self.nonce
    }

    /// Returns the fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// The content of a sealed response that is no success.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The code, as HTTP has it.
    pub code: u16,
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The run to address, if the request was for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The method was not run: the same call may be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_run: bool,
    /// Under which the callee logged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ErrorBody {
    /// Describes an error without what is only for the log.
    pub fn of(error: &RpcError, request_id: Option<&str>) -> Self {
        let message = match (error.code(), request_id) {
            (Code::Internal, Some(id)) => format!("internal error, request {id}"),
            _ => error.message().to_owned(),
        };
        Self {
            code: error.code().status(),
            message,
            details: error.details().cloned(),
            retry_after: error
                .retry_after()
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            epoch: None,
            not_run: false,
            request_id: request_id.map(str::to_owned),
        }
    }

    /// Returns the error that was described.
    pub fn into_error(self) -> RpcError {
        RpcError::received(
            self.code,
            self.message,
            self.details,
            self.retry_after.map(Duration::from_millis),
        )
    }
}
