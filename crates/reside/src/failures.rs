//! Permission handlers that fail, as administrators see them: beside the entries of the control block, and gone once the
//! handler has succeeded.

use std::error::Error;

use jazz::{Co, CoRecord, LoadError, Timestamp, WriteError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{contract::BoxError, rcb::ControlBlock};

/// More of an error than this is cut off.
const MESSAGE_CHARS_MAX: usize = 500;

/// A permission that couldn't be carried out so far, because its handler failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandlerFailure {
    /// What the handler said last.
    pub message: String,
    /// How often it has failed in a row.
    pub attempts: u32,
    /// When it first did.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When it is tried again.
    #[schemars(with = "String")]
    pub retry_at: Timestamp,
}

/// The failures in a control block, by the keys of its entries. Written by the replica alone.
pub struct HandlerFailures(Co<CoRecord<HandlerFailure>>);

impl HandlerFailures {
    /// Opens those of a control block; an old control block gets them now. Whoever may write it may do this.
    pub async fn open(block: &Co<ControlBlock>) -> Result<Self, BoxError> {
        let (node, now) = (block.node(), block.get()?);
        if let Some(failures) = &now.handler_failures {
            return Ok(Self(node.load(failures).await?));
        }
        let unique = format!("rcb/{}/handler-failures", now.id);
        let made = node.get_or_create_unique_record(&block.owner(), unique).await?;
        block.update(|block| block.handler_failures = Some(made.reference()))?;
        Ok(Self(made))
    }

    /// Returns the failure of a permission, by the key of its entry.
    pub fn get(&self, key: &str) -> Result<Option<HandlerFailure>, LoadError> {
        self.0.get(key)
    }

    /// Notes that a handler has failed once more.
    pub(crate) fn note(
        &self,
        key: &str,
        error: &(dyn Error + 'static),
        now: Timestamp,
        retry_at: Timestamp,
    ) -> Result<(), WriteError> {
        let before = self.0.get(key)?;
        let failure = HandlerFailure {
            message: message(error),
            attempts: before
                .as_ref()
                .map_or(1, |before| before.attempts.saturating_add(1)),
            since: before.map_or(now, |before| before.since),
            retry_at,
        };
        self.0.insert(key, &failure)
    }

    /// Forgets a failure: the handler has succeeded, or there is nothing to do for it any more.
    pub(crate) fn forget(&self, key: &str) -> Result<(), WriteError> {
        if self.0.contains_key(key)? {
            self.0.remove(key)?;
        }
        Ok(())
    }
}

/// An error with its causes.
fn message(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| Error::source(*error));
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}
