//! What a method knows about the call it answers.

use jazz::AccountId;
use tokio::time::Instant;

/// One call, as the method that answers it sees it.
#[derive(Clone, Debug)]
pub struct Call {
    made_by: AccountId,
    request_id: String,
    deadline: Instant,
}

impl Call {
    /// Makes the context of an authenticated call.
    pub fn new(made_by: AccountId, request_id: impl Into<String>, deadline: Instant) -> Self {
        Self {
            made_by,
            request_id: request_id.into(),
            deadline,
        }
    }

    /// Returns the account that made the call, authenticated.
    pub fn made_by(&self) -> &AccountId {
        &self.made_by
    }

    /// Returns the id under which both sides log the call.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Returns when the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}
