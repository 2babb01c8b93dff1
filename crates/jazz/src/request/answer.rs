//! What a callee answers, as HTTP carries it.

use serde_json::{Value, json};

use super::error::{RequestError, SendError};

/// The HTTP header, with the value `true`, of an answer that is a [`RequestError`].
pub const ERROR_HEADER: &str = "X-Jazz-Request-Error";

/// An HTTP response with JSON in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Whether the response has the [`ERROR_HEADER`].
    pub is_request_error: bool,
    /// The body; its content type is `application/json`.
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn success(payload: Value) -> Self {
        Self {
            status: 200,
            is_request_error: false,
            body: json!({"type": "success", "payload": payload})
                .to_string()
                .into_bytes(),
        }
    }

    /// The payload of a success, or the error that it is.
    pub(super) fn payload(&self) -> Result<Value, SendError> {
        if self.is_request_error && self.status != 200 {
            let error: RequestError =
                serde_json::from_slice(&self.body).map_err(|_| SendError::Failed(self.status))?;
            return Err(error.into());
        }
        if !(200..300).contains(&self.status) {
            return Err(SendError::Failed(self.status));
        }
        let malformed = |problem: String| SendError::Response(super::Invalid::Malformed(problem));
        let mut body: Value =
            serde_json::from_slice(&self.body).map_err(|error| malformed(error.to_string()))?;
        if body["type"] != "success" {
            return Err(malformed("the type of a response is `success`".to_owned()));
        }
        Ok(body["payload"].take())
    }
}

impl From<RequestError> for Answer {
    fn from(error: RequestError) -> Self {
        let is_status = (400..600).contains(&error.code);
        Self {
            status: if is_status { error.code } else { 500 },
            is_request_error: true,
            body: serde_json::to_vec(&error).expect("an error has nothing that JSON can't say"),
        }
    }
}
