//! What goes wrong with requests: on the wire, with a message, and for a caller.

use cojson::ids::{AccountId, CoId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::driver::NotSynced;
use crate::error::{LoadError, SchemaError, WriteError};

/// What is answered instead of a response; a handler may return its own. On the wire `{message, code, details?}`.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{message} ({code})")]
pub struct RequestError {
    /// For people.
    pub message: String,
    /// The HTTP status.
    pub code: u16,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl RequestError {
    /// An error without details.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code,
            details: None,
        }
    }

    /// Adds what programs read.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

/// Why a request or a response doesn't count. The texts that jazz-tools has for the same are the same.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// It isn't in the form of the format, or of the message that is expected.
    #[error("Request payload is not valid")]
    Malformed(String),
    /// Somebody, or a copy of it, has been answered.
    #[error("Request payload is already handled")]
    AlreadyHandled,
    /// Made more than a minute ago.
    #[error("Authentication token is expired")]
    Expired,
    /// Made more than a minute from now.
    #[error("Authentication token is from the future")]
    FromTheFuture,
    /// The signature isn't that of the signer it names.
    #[error("Invalid signature")]
    Signature,
    /// The signer that it names doesn't act for the account that made the message.
    #[error("not signed by the current signer of {0}, which made the message")]
    NotTheSigner(AccountId),
    /// Made by another account than the one that was called.
    #[error("made by {0}, which was not called")]
    NotCalled(AccountId),
    /// A value that has to come with it doesn't come whole, or is known to have more in it.
    #[error("{0} does not come whole")]
    NotWhole(CoId),
    /// A value in it is older, or newer, than a minute.
    #[error("{0} was not made for this")]
    NotFresh(CoId),
    /// Somebody else has written to a value in it.
    #[error("{0} has an author other than the account that made it")]
    OtherAuthor(CoId),
    /// The message's group has other members than caller and callee, or gives them other roles.
    #[error("the group {0} is not between caller and callee alone")]
    OtherMembers(CoId),
    /// The message isn't readable with what its group gives us.
    #[error("{0} can't be read")]
    Unreadable(CoId),
    /// It says itself that it is for something else.
    #[error("meant for something else: {0}")]
    NotMeant(String),
    /// What came can't be taken now; the same may be accepted later.
    #[error("not ready: {0}")]
    NotReady(String),
}

impl Invalid {
    /// The HTTP status that says it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::AlreadyHandled | Self::Unreadable(_) => 400,
            Self::Expired
            | Self::FromTheFuture
            | Self::Signature
            | Self::NotTheSigner(_)
            | Self::NotCalled(_)
            | Self::NotWhole(_)
            | Self::NotFresh(_)
            | Self::OtherAuthor(_)
            | Self::OtherMembers(_)
            | Self::NotMeant(_) => 401,
            Self::NotReady(_) => 503,
        }
    }
}

impl From<SchemaError> for Invalid {
    fn from(error: SchemaError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Invalid> for RequestError {
    fn from(invalid: Invalid) -> Self {
        let error = Self::new(invalid.status(), invalid.to_string());
        match invalid {
            Invalid::Malformed(problem) => error.with_details(json!(problem)),
            _ => error,
        }
    }
}

/// A request was not sent, or got no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The callee refused it or failed, and says so.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// Something other than a callee answered.
    #[error("request failed with HTTP status {0}")]
    Failed(u16),
    /// What came as a response isn't the callee's, or not in the form that is expected.
    #[error("the response does not count: {0}")]
    Response(#[from] Invalid),
    /// The message can't be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The callee's account, or a part of the message, can't be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The message can't be made from this.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl From<NotSynced> for Invalid {
    fn from(error: NotSynced) -> Self {
        Self::NotReady(error.to_string())
    }
}
