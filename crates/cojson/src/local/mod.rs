//! What a node does for the account it acts for: every command applies at once, and fails before anything is written.

mod account;
mod branch;
mod invite;
mod keys;
mod members;
mod write;

use crate::content::ContentError;
use crate::ids::{CoId, KeyId};

pub use write::NewValue;

/// Why a command wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The node acts for no account.
    #[error("not logged in")]
    NotLoggedIn,
    /// The secret is another account's.
    #[error("the secret does not belong to the account")]
    WrongSecret,
    /// The value, or its content, can't be written to.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Our account has no right to do this.
    #[error("not allowed in {0}")]
    NotAllowed(CoId),
    /// We can't get at the secret of a key.
    #[error("the secret of {key} of {group} is out of reach")]
    NoKey {
        /// The group.
        group: CoId,
        /// The key.
        key: KeyId,
    },
    /// The group has no read key.
    #[error("{0} has no read key")]
    NoReadKey(CoId),
    /// The transaction is longer than the format allows.
    #[error("{0} bytes are too much for one transaction")]
    TooLarge(usize),
    /// A value with a chosen id is here already.
    #[error("{0} exists already")]
    Exists(CoId),
    /// What was loaded of the value lacks writes of ours; to write on would be to write something else in their place.
    #[error("{0} was loaded without all that we have written to it")]
    Rewound(CoId),
    /// A parent that leads back to the group itself, or that is an account.
    #[error("{0} can't be a parent here")]
    InvalidParent(CoId),
}
