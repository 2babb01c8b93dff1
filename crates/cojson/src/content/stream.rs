//! Streams: every session appends its own items.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Edit, Needs, Order, View};
use crate::ids::{Author, SessionId};
use crate::transaction::Timestamp;

/// The content of a stream.
#[derive(Debug, Default, PartialEq)]
pub struct StreamView {
    sessions: BTreeMap<SessionId, Vec<StreamItem>>,
}

/// One item of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamItem {
    /// When it was appended, as its author says.
    pub at: Timestamp,
    /// The transaction in its session.
    pub tx_index: usize,
    /// The item.
    pub value: Value,
}

impl StreamView {
    /// All sessions with their items, oldest first.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionId, &[StreamItem])> {
        self.sessions.iter().map(|(session, items)| (session, &items[..]))
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.sessions.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All items in one order: by time, then session, then index.
    pub fn items(&self) -> Vec<(&SessionId, &StreamItem)> {
        let mut items: Vec<_> = self
            .sessions()
            .flat_map(|(session, items)| items.iter().map(move |item| (session, item)))
            .collect();
        items.sort_by_key(|(session, item)| (item.at, *session, item.tx_index));
        items
    }

    /// The newest item of an author, over all its sessions.
    pub fn last_by(&self, author: &Author) -> Option<(&StreamItem, Edit)> {
        let own = self
            .sessions
            .iter()
            .filter(|(session, _)| session.author() == author);
        let last = own.filter_map(|(session, items)| Some((session, items.last()?)));
        let (_, item) = last.max_by_key(|(session, item)| (item.at, *session))?;
        Some((
            item,
            Edit {
                by: author.clone(),
                at: item.at,
            },
        ))
    }
}

impl View for StreamView {
    const NEEDS: Needs = Needs::AnyOrder;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        if !counts || changes.is_empty() {
            return;
        }
        let items = self.sessions.entry(order.written_in().clone()).or_default();
        let key = |item: &StreamItem| (item.at, item.tx_index);
        let new = (order.at, order.index as usize);
        let position = items.partition_point(|item| key(item) <= new);
        let changes = changes.into_iter();
        let new_items = changes.map(|value| StreamItem {
            at: new.0,
            tx_index: new.1,
            value,
        });
        if position == items.len() {
            items.extend(new_items);
        } else {
            items.splice(position..position, new_items);
        }
    }
}
