//! Lists: a tree of insertions, read out in order.
//!
//! Each item is inserted after or before another one, or at an end. Among items at the same place the newest comes
//! first; items at the start or end of the list keep their order. Removed items stay as anchors.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{Edit, Order, View};
use crate::ids::SessionId;

/// Names an insertion for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The session.
    pub session: SessionId,
    /// The transaction in the session.
    pub tx_index: u32,
    /// The change in the transaction.
    pub change_index: u32,
}

impl OpId {
    /// As changes name it.
    pub fn to_json(&self) -> Value {
        json!({"sessionID": self.session, "txIndex": self.tx_index, "changeIdx": self.change_index})
    }

    fn from_json(json: &Value) -> Option<Self> {
        // Operations that came from a branch have a fourth member and are other operations.
        if json.get("branch").is_some() {
            return None;
        }
        let number = |key: &str| {
            json.get(key)?
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
        };
        let session = json.get("sessionID")?.as_str()?.parse().ok()?;
        Some(Self {
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
    /// All nodes in the order they are read, shown or not.
    order: Vec<u32>,
    /// How many nodes of `order` belong to the start; the end's follow.
    start_len: usize,
    removed: HashSet<OpId>,
    len: usize,
}

#[derive(Debug, PartialEq)]
struct Node {
    op: OpId,
    edit: Edit,
    value: Value,
    is_shown: bool,
    /// What was inserted before it, newest first in reading order.
    newest_before: Option<u32>,
    in_start: bool,
}

impl ListView {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items in order.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = ListItem<'_>> {
        self.shown().map(|node| ListItem {
            op: &node.op,
            value: &node.value,
            edit: node.edit.clone(),
        })
    }

    /// The values in order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.shown().map(|node| &node.value)
    }

    /// The item at a position.
    pub fn get(&self, index: usize) -> Option<ListItem<'_>> {
        if self.len == self.order.len() {
            let node = &self.nodes[*self.order.get(index)? as usize];
            return Some(ListItem {
                op: &node.op,
                value: &node.value,
                edit: node.edit.clone(),
            });
        }
        if index + 1 == self.len {
            self.items().next_back()
        } else {
            self.items().nth(index)
        }
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
        self.insert_changes(self.len, values)
    }

    /// The changes that insert `values` so that the first gets position `index`, or the end.
    pub fn insert_changes(&self, index: usize, values: Vec<Value>) -> Vec<Value> {
        let last = index
            .checked_sub(1)
            .and_then(|before| self.get(before.min(self.len.checked_sub(1)?)));
        match (last, self.get(0)) {
            // Each goes right after the anchor, so that the last written comes first.
            (Some(item), _) => {
                let anchor = Anchor::After(item.op.clone());
                values
                    .into_iter()
                    .rev()
                    .map(|value| anchor.insert(value))
                    .collect()
            }
            (None, Some(first)) => {
                let anchor = Anchor::Before(first.op.clone());
                // The newest is read first.
                values
                    .into_iter()
                    .rev()
                    .map(|value| anchor.insert(value))
                    .collect()
            }
            (None, None) => values
                .into_iter()
                .map(|value| Anchor::Start.insert(value))
                .collect(),
        }
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
        self.order
            .iter()
            .map(|position| &self.nodes[*position as usize])
            .filter(|node| node.is_shown)
    }

    fn insert(&mut self, op: OpId, anchor: &Anchor, value: Value, edit: Edit, counts: bool) {
        if self.by_op.contains_key(&op) {
            return;
        }
        let new = self.nodes.len() as u32;
        let (position, in_start) = match anchor {
            Anchor::Start => (self.start_len, true),
            Anchor::End => (self.order.len(), false),
            Anchor::After(other) => {
                let Some(&other) = self.by_op.get(other) else {
                    return;
                };
                (self.position_of(other) + 1, self.nodes[other as usize].in_start)
            }
            Anchor::Before(other) => {
                let Some(&other) = self.by_op.get(other) else {
                    return;
                };
                let position = self.position_of(self.first_of(other));
                self.nodes[other as usize].newest_before = Some(new);
                (position, self.nodes[other as usize].in_start)
            }
        };
        let is_shown = counts && !self.removed.contains(&op);
        self.len += usize::from(is_shown);
        self.start_len += usize::from(in_start);
        self.order.insert(position, new);
        self.by_op.insert(op.clone(), new);
        self.nodes.push(Node {
            op,
            edit,
            value,
            is_shown,
            newest_before: None,
            in_start,
        });
    }

    /// The node that is read first among `node` and everything inserted before it.
    fn first_of(&self, mut node: u32) -> u32 {
        while let Some(before) = self.nodes[node as usize].newest_before {
            node = before;
        }
        node
    }

    /// Most writes are near the end, so it is looked for from there.
    fn position_of(&self, node: u32) -> usize {
        self.order
            .iter()
            .rposition(|other| *other == node)
            .expect("every node is in the order")
    }

    fn remove(&mut self, op: OpId) {
        if let Some(&node) = self.by_op.get(&op) {
            let node = &mut self.nodes[node as usize];
            self.len -= usize::from(std::mem::take(&mut node.is_shown));
        }
        self.removed.insert(op);
    }
}

impl View for ListView {
    const ANY_ORDER: bool = false;

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
            let op = OpId {
                session: order.session.clone(),
                tx_index: order.index,
                change_index: index as u32,
            };
            let value = change.swap_remove("value").unwrap_or_default();
            self.insert(op, &anchor, value, order.edit(), counts);
        }
    }
}
