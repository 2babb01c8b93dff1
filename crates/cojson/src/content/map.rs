//! Maps: per key, the last operation wins.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Edit, Needs, Order, View};

/// The content of a map.
#[derive(Debug, Default, PartialEq)]
pub struct MapView {
    /// Removed keys stay, so that a late older write doesn't bring them back.
    entries: BTreeMap<Box<str>, Latest>,
    len: usize,
}

#[derive(Debug, PartialEq)]
struct Latest {
    order: Order,
    change: u32,
    value: Option<Value>,
}

impl MapView {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)?.value.as_ref()
    }

    /// All keys that have a value, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// All keys with their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .filter_map(|(key, latest)| Some((&**key, latest.value.as_ref()?)))
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Who last wrote or removed a key, and when.
    pub fn edit(&self, key: &str) -> Option<Edit> {
        self.entries.get(key).map(|latest| latest.order.edit())
    }

    /// The content as one JSON object.
    pub fn to_json(&self) -> Value {
        self.iter()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect()
    }

    fn set(&mut self, order: &Order, change: u32, key: &str, value: Option<Value>) {
        let has_value = value.is_some();
        let had_value = match self.entries.get_mut(key) {
            Some(latest) => {
                if (&latest.order, latest.change) > (order, change) {
                    return;
                }
                let had_value = latest.value.is_some();
                *latest = Latest {
                    order: order.clone(),
                    change,
                    value,
                };
                had_value
            }
            None => {
                self.entries.insert(
                    key.into(),
                    Latest {
                        order: order.clone(),
                        change,
                        value,
                    },
                );
                false
            }
        };
        self.len = self.len + usize::from(has_value) - usize::from(had_value);
    }
}

impl View for MapView {
    const NEEDS: Needs = Needs::AnyOrder;

    fn apply(&mut self, order: &Order, changes: Vec<Value>, counts: bool) {
        if !counts {
            return;
        }
        for (index, change) in changes.into_iter().enumerate() {
            let Value::Object(mut change) = change else {
                continue;
            };
            let value = match change.get("op").and_then(Value::as_str) {
                Some("set") => change.swap_remove("value"),
                Some("del") => None,
                _ => continue,
            };
            let Some(Value::String(key)) = change.get("key") else {
                continue;
            };
            self.set(order, index as u32, key, value);
        }
    }
}
