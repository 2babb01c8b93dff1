//! Errors of calls: what the callee says ([`RpcError`]) and what the caller gets ([`CallError`]).

use std::{error::Error, fmt, time::Duration};

use serde_json::{Value, json};

use crate::identity::Identity;

/// What a method answers.
pub type RpcResult<T> = Result<T, RpcError>;

/// What went wrong, for programs. The numbers are those of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400: the request isn't in the shape the method takes.
    Malformed,
    /// 401: the caller isn't who it says it is.
    NotAuthenticated,
    /// 403: the caller lacks a permission.
    NoPermission,
    /// 404: there is no such thing.
    NotFound,
    /// 409: it contradicts something that exists.
    Conflict,
    /// 422: it can't be done in this state.
    WrongState,
    /// 500: the callee failed; its log says why.
    Internal,
    /// 503: the callee is starting or stopping; try again.
    Unavailable,
}

/// Why a method refused or failed.
#[derive(Debug)]
pub struct RpcError {
    code: Code,
    message: String,
    /// Boxed, as errors are moved about more often than read.
    details: Option<Box<Value>>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a call gave no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The callee answered with an error.
    #[error("{0}")]
    Refused(#[from] RpcError),
    /// It is unknown whether the call was carried out: the callee can't be reached, or the deadline passed.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// The call could not be made, or its response not be read.
    #[error("the call failed")]
    Local(#[source] Box<dyn Error + Send + Sync>),
}

impl Code {
    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotAuthenticated => 401,
            Self::NoPermission => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::WrongState => 422,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    fn from_status(status: u16) -> Self {
        match status {
            400 => Self::Malformed,
            401 => Self::NotAuthenticated,
            403 => Self::NoPermission,
            404 => Self::NotFound,
            409 => Self::Conflict,
            422 => Self::WrongState,
            503 => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl RpcError {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retry_after: None,
            source: None,
        }
    }

    /// 400: the request isn't in the shape the method takes.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::Malformed, message)
    }

    /// 401: the caller isn't who it says it is.
    pub fn not_authenticated(message: impl Into<String>) -> Self {
        Self::new(Code::NotAuthenticated, message)
    }

    /// An error that a callee sent. An unknown code counts as internal.
    pub(super) fn received(
        code: u16,
        message: String,
        details: Option<Value>,
        retry_after: Option<Duration>,
    ) -> Self {
        Self {
            details: details.map(Box::new),
            retry_after,
            ..Self::new(Code::from_status(code), message)
        }
    }

    /// Logs the error with its sources, as loud as it deserves.
    pub(super) fn log(&self) {
        match &self.source {
            Some(source) => tracing::error!(error = &**source as &(dyn Error + 'static), "a call failed"),
            None => tracing::info!(
                code = self.code.status(),
                message = self.message,
                "a call was refused"
            ),
        }
    }

    /// 403: the caller lacks this permission.
    pub fn missing_permission(contract: &Identity, permission: &str, params: Value) -> Self {
        let details = json!({"contract": contract, "permission": permission, "params": params});
        let message = format!("the permission {contract}:{permission} is missing");
        Self {
            details: Some(Box::new(details)),
            ..Self::new(Code::NoPermission, message)
        }
    }

    /// 403: the caller may not do this, and no permission would help.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::NoPermission, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// 409: it contradicts something that exists.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }

    /// 422: it can't be done in this state.
    pub fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(Code::WrongState, message)
    }

    /// 500: something failed here; the caller learns no more, the log has the source.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(Code::Internal, "internal error")
        }
    }

    /// 503: starting or stopping.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::Unavailable, message)
        }
    }

    /// Returns the code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns what the caller reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what programs read, e.g. which permission is missing.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_deref()
    }

    /// Returns when to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.status())
    }
}

impl Error for RpcError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl CallError {
    /// The request could not be written as JSON.
    pub fn invalid_request(error: serde_json::Error) -> Self {
        Self::Local(Box::new(error))
    }

    /// The response isn't in the shape the contract says.
    pub fn invalid_response(error: serde_json::Error) -> Self {
        Self::Local(Box::new(error))
    }
}
