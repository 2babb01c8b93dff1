//! What values show: maps, lists, streams and files, derived from their logs and kept up to date as these grow.
//!
//! Transactions count in the order of their claimed time; equal times are ordered by session id, then by index. The
//! reference leaves the order of equal times in different sessions open.

mod file;
mod history;
mod list;
mod map;
mod prepare;
mod sequence;
mod stream;

use crate::ids::{Author, CoId, SessionId};
use crate::transaction::Timestamp;

pub(crate) use file::bytes_of_chunk;
pub use file::{FileInfo, FileView, chunk_item, end_item};
pub use history::{ListAction, ListStep, MapStep};
pub(crate) use history::{ListHistory, MapHistory};
pub use list::{Anchor, ListItem, ListView, OpId, graphemes};
pub use map::MapView;
pub(crate) use prepare::{Counts, Feed, MAX_BRANCH_DEPTH, Source, merge_counts};
pub use stream::{StreamItem, StreamView};

/// Who wrote something, and when, as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The author.
    pub by: Author,
    /// The author's claim of the time.
    pub at: Timestamp,
}

/// Why a value shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The value, or the group that owns it, isn't here.
    #[error("{0} is not loaded")]
    NotLoaded(CoId),
    /// It is a value of another kind.
    #[error("{0} is not a {1}")]
    WrongKind(CoId, &'static str),
    /// It was deleted.
    #[error("{0} was deleted")]
    Deleted(CoId),
}

/// The place of a transaction in the order of a value's transactions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Order {
    pub at: Timestamp,
    pub session: SessionId,
    pub index: u32,
    /// The branch in which it was written first.
    pub branch: Option<CoId>,
    /// The session that merged it. That it was somebody else's before is only a claim.
    pub merged_in: Option<SessionId>,
}

impl Order {
    /// The session that is known to have written it.
    pub fn written_in(&self) -> &SessionId {
        match &self.merged_in {
            Some(merger) if merger.author() != self.session.author() => merger,
            _ => &self.session,
        }
    }

    pub fn edit(&self) -> Edit {
        Edit {
            by: self.written_in().author().clone(),
            at: self.at,
        }
    }
}

/// In what order a view has to be given transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The result is the same in any order.
    AnyOrder,
    /// By time; if one comes late, the view is built anew.
    OrderOfTime,
    /// As the log grew, which in one session is the order of writing.
    OrderOfArrival,
}

/// A view that transactions are applied to.
pub(crate) trait View: Default {
    /// The order that `apply` relies on.
    const NEEDS: Needs;

    /// Applies the changes of one transaction. One that `counts` not is only an anchor for others.
    fn apply(&mut self, order: &Order, changes: Vec<serde_json::Value>, counts: bool);
}
