//! Lists: a tree of insertions, read out in order.
//!
//! Each item is inserted after or before another one, or at an end. Among items at the same place the newest comes
//! first; items at the start or end of the list keep their order. Removed items stay as anchors.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

use super::sequence::{At, Sequence};
use super::{Edit, Needs, Order, View};
use crate::ids::{CoId, SessionId};

/// Names an insertion for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The session.
    pub session: SessionId,
    /// The transaction in the session.
    pub tx_index: u32,
    /// The change in the transaction.
    pub change_index: u32,
    /// The branch that the transaction was written in, if it was.
    pub branch: Option<CoId>,
}

impl OpId {
    /// As changes name it.
    pub fn to_json(&self) -> Value {
        let (session, tx, change) = (&self.session, self.tx_index, self.change_index);
        match &self.branch {
            None => json!({"sessionID": session, "txIndex": tx, "changeIdx": change}),
            Some(branch) => {
                json!({"sessionID": session, "txIndex": tx, "branch": branch, "changeIdx": change})
            }
        }
    }

    pub(super) fn new(order: &Order, change_index: u32) -> Self {
        Self {
            session: order.session.clone(),
            tx_index: order.index,
            change_index,
            branch: order.branch.clone(),
        }
    }

    pub(super) fn from_json(json: &Value) -> Option<Self> {
        let number = |key: &str| {
            json.get(key)?
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
        };
        let session = json.get("sessionID")?.as_str()?.parse().ok()?;
        let branch = match json.get("branch") {
            Some(branch) => Some(branch.as_str()?.parse().ok()?),
            None => None,
        };
        Some(Self {
            branch,
            session,
            tx_index: number("txIndex")?,
            change_index: number("changeIdx")?,
        })
    }
}

/// Where an item goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// Behind the items at the start.
    Start,
    /// Behind everything.
    End,
    /// Right after this one.
    After(OpId),
    /// Right before this one.
    Before(OpId),
}

impl Anchor {
    /// The change that inserts `value` here.
    pub fn insert(&self, value: Value) -> Value {
        match self {
            Self::Start => json!({"op": "app", "value": value, "after": "start"}),
            Self::After(op) => json!({"op": "app", "value": value, "after": op.to_json()}),
            Self::End => json!({"op": "pre", "value": value, "before": "end"}),
            Self::Before(op) => json!({"op": "pre", "value": value, "before": op.to_json()}),
        }
    }
}

/// The items of a text: its extended grapheme clusters.
pub fn graphemes(text: &str) -> impl Iterator<Item = &str> {
    text.graphemes(true)
}

/// One item of a list.
#[derive(Debug, Clone)]
pub struct ListItem<'a> {
    /// Its insertion.
    pub op: &'a OpId,
    /// Its value.
    pub value: &'a Value,
    /// Who inserted it, and when.
    pub edit: Edit,
}

/// The content of a list, or of a text as a list of its graphemes.
#[derive(Debug, Default, PartialEq)]
pub struct ListView {
    nodes: Vec<Node>,
    by_op: HashMap<OpId, u32>,
    /// All nodes in the order they are read.
    order: Sequence,
    /// What was put at the end first: all that belongs to the start comes before it.
    end: Option<u32>,
    removed: HashSet<OpId>,
}

#[derive(Debug, PartialEq)]
struct Node {
    op: OpId,
    edit: Edit,
    value: Value,
    /// What was inserted before it, newest first in reading order.
    newest_before: Option<u32>,
}

impl ListView {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in order.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = ListItem<'_>> {
        self.shown().map(Node::item)
    }

    /// The values in order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.shown().map(|node| &node.value)
    }

    /// The item at a position.
    pub fn get(&self, index: usize) -> Option<ListItem<'_>> {
        Some(self.nodes[self.order.nth(index)? as usize].item())
    }

    /// The content as one JSON array.
    pub fn to_json(&self) -> Value {
        self.values().cloned().collect()
    }

    /// The items joined, for a text.
    pub fn to_text(&self) -> String {
        self.values().filter_map(Value::as_str).collect()
    }

    /// The changes that append `values` as other nodes would write them.
    pub fn push_changes(&self, values: Vec<Value>) -> Vec<Value> {
        self.insert_changes(self.len(), values)
    }

    /// The changes that insert `values` so that the first gets position `index`, or the end.
    pub fn insert_changes(&self, index: usize, values: Vec<Value>) -> Vec<Value> {
        let index = index.min(self.len());
        let anchor = match index.checked_sub(1).and_then(|before| self.get(before)) {
            Some(before) => Anchor::After(before.op.clone()),
            None => match self.get(0) {
                Some(first) => Anchor::Before(first.op.clone()),
                None => Anchor::Start,
            },
        };
        let changes = values.into_iter().map(|value| anchor.insert(value));
        match anchor {
            Anchor::Start | Anchor::End => changes.collect(),
            // What is written last is read first.
            Anchor::After(_) | Anchor::Before(_) => changes.rev().collect(),
        }
    }

    /// The changes that remove the items at `range`; nothing for positions beyond the end.
    pub fn remove_changes(&self, range: Range<usize>) -> Vec<Value> {
        range.map_while(|index| self.remove_change(index)).collect()
    }

    /// The change that removes the item at `index`.
    pub fn remove_change(&self, index: usize) -> Option<Value> {
        Some(json!({"op": "del", "insertion": self.get(index)?.op.to_json()}))
    }

    /// The changes that replace the item at `index`.
    pub fn set_changes(&self, index: usize, value: Value) -> Option<Vec<Value>> {
        let item = self.get(index)?;
        let remove = json!({"op": "del", "insertion": item.op.to_json()});
        Some(vec![Anchor::After(item.op.clone()).insert(value), remove])
    }

    fn shown(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.order.iter().map(|node| &self.nodes[node as usize])
    }

    fn insert(&mut self, op: OpId, anchor: &Anchor, value: Value, edit: Edit, counts: bool) {
        if self.by_op.contains_key(&op) {
            return;
        }
        let other = match anchor {
            Anchor::After(other) | Anchor::Before(other) => match self.by_op.get(other) {
                Some(other) => Some(*other),
                None => return,
            },
            Anchor::Start => self.end,
            Anchor::End => None,
        };
        let at = match (anchor, other) {
            (Anchor::After(_), Some(other)) => At::After(other),
            (_, Some(other)) => At::Before(self.first_of(other)),
            (_, None) => At::End,
        };
        let is_shown = counts && !self.removed.contains(&op);
        let new = self.order.insert(at, is_shown);
        match (anchor, other) {
            (Anchor::Before(_), Some(other)) => self.nodes[other as usize].newest_before = Some(new),
            (Anchor::End, _) => {
                self.end.get_or_insert(new);
            }
            _ => {}
        }
        self.by_op.insert(op.clone(), new);
        self.nodes.push(Node {
            op,
            edit,
            value,
            newest_before: None,
        });
    }

    /// The node that is read first among `node` and everything inserted before it.
    fn first_of(&self, mut node: u32) -> u32 {
        while let Some(before) = self.nodes[node as usize].newest_before {
            node = before;
        }
        node
    }

    fn remove(&mut self, op: OpId) {
        if let Some(&node) = self.by_op.get(&op) {
            self.order.hide(node);
        }
        self.removed.insert(op);
    }
}

impl Node {
    fn item(&self) -> ListItem<'_> {
        ListItem {
            op: &self.op,
            value: &self.value,
            edit: self.edit.clone(),
        }
    }
}

impl View for ListView {
    const NEEDS: Needs = Needs::OrderOfTime;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        for (index, change) in changes.into_iter().enumerate() {
            let Value::Object(mut change) = change else {
                continue;
            };
            let end = |key: &str, word: &str| change.get(key).is_some_and(|place| place == word);
            let other = |key: &str| change.get(key).and_then(OpId::from_json);
            let anchor = match change.get("op").and_then(Value::as_str) {
                Some("app") if end("after", "start") => Some(Anchor::Start),
                Some("app") => other("after").map(Anchor::After),
                Some("pre") if end("before", "end") => Some(Anchor::End),
                Some("pre") => other("before").map(Anchor::Before),
                Some("del") => {
                    if let Some(removed) = other("insertion").filter(|_| counts) {
                        self.remove(removed);
                    }
                    None
                }
                _ => None,
            };
            let Some(anchor) = anchor else { continue };
            let op = OpId::new(order, index as u32);
            let value = change.swap_remove("value").unwrap_or_default();
            self.insert(op, &anchor, value, order.edit(), counts);
        }
    }
}
