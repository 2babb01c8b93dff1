//! What values were, and how they became what they are.

use cojson::content::{ListAction, MapStep};
use cojson::ids::CoId;
use serde_json::Value;

use crate::error::LoadError;
use crate::list::{CoList, Item};
use crate::map::CoMap;
use crate::node::Node;
use crate::record::CoRecord;
use crate::text::{CoText, TextKind};
use crate::time::Timestamp;
use crate::value::{Co, CoValue, Edit, with_raw_at};

/// One value that a field or key has had.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldEdit {
    /// The value as it is stored; `None`: it was removed.
    pub value: Option<Value>,
    /// Who wrote it, and when, as they say.
    pub edit: Edit,
}

/// One insertion into a list or a text, or one removal. To replace an item is to insert another and remove it.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemEdit {
    /// The item as it is stored.
    pub value: Value,
    /// Whether it was put in or taken out.
    pub action: ListAction,
    /// Who did it, and when, as they say.
    pub edit: Edit,
}

impl<T: CoValue> Co<T> {
    /// What the value was at a moment, by the times that its authors claim. Each call goes through the whole history.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// let node = jazz::Node::builder().create_account("Ada").connect().await?;
    /// let group = node.create_group()?;
    /// let list = node.create_list(&group, ["a".to_owned()])?;
    /// let before = list.edit(0).unwrap().at;
    /// # while jazz::Timestamp::now() <= before {}
    /// list.push(&"b".to_owned())?;
    /// assert_eq!(list.items()?, ["a", "b"]);
    /// assert_eq!(list.at(before)?, ["a"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, moment: Timestamp) -> Result<T::Snapshot, LoadError> {
        self.node()
            .core(|core, _| with_raw_at::<T, _>(core, self.id(), moment.into(), T::snapshot))
    }
}

impl<T: CoMap> Co<T> {
    /// All values that a field has had, oldest first. The field is named as in Rust or as in the map.
    ///
    /// ```
    /// # #[derive(jazz::CoMap)]
    /// # struct Door { is_open: bool }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// let node = jazz::Node::builder().create_account("Ada").connect().await?;
    /// let group = node.create_group()?;
    /// let door = node.create(&group, Door { is_open: true })?;
    /// door.update(|door| door.is_open = false)?;
    /// let history = door.history("is_open")?;
    /// assert_eq!(history[0].value, Some(true.into()));
    /// assert_eq!(history[1].value, Some(false.into()));
    /// assert_eq!(history[1].edit.account(), Some(node.account_id()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self, field: &str) -> Result<Vec<FieldEdit>, LoadError> {
        let known = T::FIELDS
            .iter()
            .find(|known| known.rust_name == field || known.name == field);
        of_key(self.node(), self.id(), known.map_or(field, |known| known.name))
    }
}

impl<T: Item> Co<CoRecord<T>> {
    /// All values that a key has had, oldest first.
    pub fn history(&self, key: impl AsRef<str>) -> Result<Vec<FieldEdit>, LoadError> {
        of_key(self.node(), self.id(), key.as_ref())
    }
}

impl<T: Item> Co<CoList<T>> {
    /// All that was put in and taken out, oldest first.
    pub fn history(&self) -> Result<Vec<ItemEdit>, LoadError> {
        of_items(self.node(), self.id())
    }
}

impl<K: TextKind> Co<CoText<K>> {
    /// All graphemes that were put in and taken out, oldest first.
    pub fn history(&self) -> Result<Vec<ItemEdit>, LoadError> {
        of_items(self.node(), self.id())
    }
}

fn of_key(node: &Node, id: &CoId, key: &str) -> Result<Vec<FieldEdit>, LoadError> {
    let steps = node.core(|core, _| core.map_history(id))?;
    let of_key = steps.into_iter().filter(|step| step.key == key);
    let edit = |step: MapStep| FieldEdit {
        value: step.value,
        edit: step.edit.into(),
    };
    Ok(of_key.map(edit).collect())
}

fn of_items(node: &Node, id: &CoId) -> Result<Vec<ItemEdit>, LoadError> {
    let steps = node.core(|core, _| core.list_history(id))?;
    let edits = steps.into_iter().map(|step| ItemEdit {
        value: step.value,
        action: step.action,
        edit: step.edit.into(),
    });
    Ok(edits.collect())
}
