//! What can go wrong with a registry.

use std::time::Duration;

use http::StatusCode;

/// Why a registry doesn't do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answers, or the connection breaks.
    #[error("the registry {registry} cannot be reached: {reason}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        reason: String,
    },
    /// It has stopped in the middle.
    #[error("the registry {registry} has sent nothing for {time:?}")]
    Stalled {
        /// The registry.
        registry: String,
        /// How long it was waited for.
        time: Duration,
    },
    /// It wants to know who asks, or doesn't believe it.
    #[error("the registry {registry} asks for a login{}", said(.message))]
    Unauthorized {
        /// The registry.
        registry: String,
        /// What it said.
        message: String,
    },
    /// It knows who asks and refuses.
    #[error("the registry {registry} refuses access to {what}{}", said(.message))]
    Denied {
        /// The registry.
        registry: String,
        /// To what.
        what: String,
        /// What it said.
        message: String,
    },
    /// It doesn't have what is asked for.
    #[error("the registry {registry} has no {what}{}", said(.message))]
    NotFound {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// It answers with an error.
    #[error("the registry {registry} answers {status} to {what}{}", said(.message))]
    Refused {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// Its answer.
        status: StatusCode,
        /// What it said.
        message: String,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// It answers with something else than the protocol asks for.
    #[error("the registry {registry} does not keep to the protocol: {reason}")]
    Protocol {
        /// The registry.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// It sends us to a place where we don't go.
    #[error("the registry {registry} redirects to {to}, {reason}")]
    Redirect {
        /// The registry.
        registry: String,
        /// Where to.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// A login can't be found out.
    #[error("the login for {registry} cannot be read: {reason}")]
    Login {
        /// The registry.
        registry: String,
        /// Why.
        reason: String,
    },
}

impl RegistryError {
    /// Whether it may be another time.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } => true,
            Self::Refused { status, .. } => {
                matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
            }
            Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Protocol { .. }
            | Self::Redirect { .. }
            | Self::Login { .. } => false,
        }
    }

    /// When the registry wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}
