//! What was done to a value, step by step.

use serde_json::Value;

use super::list::OpId;
use super::{Edit, Needs, Order, View};

/// One step in the history of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct MapStep {
    /// The key.
    pub key: String,
    /// What it was set to; `None`: it was removed.
    pub value: Option<Value>,
    /// Who did it, and when, as they say.
    pub edit: Edit,
}

/// The history of a map, oldest first. Of several steps at once the last counts.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct MapHistory(pub Vec<MapStep>);

impl View for MapHistory {
    const NEEDS: Needs = Needs::OrderOfTime;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        if !counts {
            return;
        }
        for change in changes {
            let Value::Object(mut change) = change else {
                continue;
            };
            let value = match change.get("op").and_then(Value::as_str) {
                Some("set") => change.swap_remove("value"),
                Some("del") => None,
                _ => continue,
            };
            if let Some(Value::String(key)) = change.swap_remove("key") {
                let edit = order.edit();
                self.0.push(MapStep { key, value, edit });
            }
        }
    }
}

/// One step in the history of a list or a text.
#[derive(Debug, Clone, PartialEq)]
pub struct ListStep {
    /// What was done.
    pub action: ListAction,
    /// The insertion of the item.
    pub op: OpId,
    /// The item.
    pub value: Value,
    /// Who did it, and when, as they say.
    pub edit: Edit,
}

/// What can be done to an item of a list. To replace one is to insert another and remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAction {
    /// It was put in.
    Insert,
    /// It was taken out.
    Remove,
}

/// The history of a list, oldest first.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ListHistory {
    pub steps: Vec<ListStep>,
    inserted: std::collections::HashMap<OpId, Value>,
}

impl View for ListHistory {
    const NEEDS: Needs = Needs::OrderOfTime;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        if !counts {
            return;
        }
        for (index, change) in changes.into_iter().enumerate() {
            let (action, op, value) = match change.get("op").and_then(Value::as_str) {
                Some("app" | "pre") => {
                    let op = OpId::new(order, index as u32);
                    let value = change.get("value").cloned().unwrap_or_default();
                    self.inserted.insert(op.clone(), value.clone());
                    (ListAction::Insert, op, value)
                }
                Some("del") => {
                    let removed = change.get("insertion").and_then(OpId::from_json);
                    // Removed again, or before it was here: nothing happened.
                    let Some((op, value)) = removed.and_then(|op| self.inserted.remove_entry(&op)) else {
                        continue;
                    };
                    (ListAction::Remove, op, value)
                }
                _ => continue,
            };
            let edit = order.edit();
            self.steps.push(ListStep {
                action,
                op,
                value,
                edit,
            });
        }
    }
}
