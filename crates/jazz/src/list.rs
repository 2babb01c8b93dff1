//! Lists of one type of item.

use std::marker::PhantomData;

use cojson::content::ListView;
use cojson::transaction::Privacy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{LoadError, SchemaError, WriteError, read_json};
use crate::load::Child;
use crate::map::to_json;
use crate::value::{Co, CoValue, Edit, Link, Raw, Shape};

/// An ordered list. `T` is any serde type, or a [`Ref`](crate::Ref) to another value.
///
/// Never made itself: it is the type in `Co<CoList<T>>` and `Ref<CoList<T>>`.
pub struct CoList<T>(PhantomData<fn() -> T>);

/// What can stand in lists, records and fields: any serde type that owns its data.
pub trait Item: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Item for T {}

const NAME: &str = "CoList";

fn read<T: Item>(index: usize, value: &Value) -> Result<T, SchemaError> {
    read_json(NAME, || index.to_string(), value)
}

fn raw_list(raw: Raw<'_>) -> Result<&ListView, SchemaError> {
    match raw {
        Raw::List(view) => Ok(view),
        _ => Err(SchemaError::new(NAME, "", "not a list")),
    }
}

/// An item as JSON.
pub(crate) fn item_to_json<T: Item>(item: &T) -> Result<Value, SchemaError> {
    to_json(NAME, "new item", item)
}

impl<T: Item> CoValue for CoList<T> {
    type Snapshot = Vec<T>;

    const SHAPE: Shape = Shape::List;

    fn snapshot(raw: Raw<'_>) -> Result<Vec<T>, SchemaError> {
        raw_list(raw)?
            .values()
            .enumerate()
            .map(|(index, value)| read(index, value))
            .collect()
    }

    fn children(raw: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        let mut children = Vec::new();
        for (index, value) in raw_list(raw)?.values().enumerate() {
            let (item, found) = Link::collect(|| read::<T>(index, value));
            Child::add(&mut children, &index.to_string(), item.err(), found);
        }
        Ok(children)
    }
}

impl<T: Item> Co<CoList<T>> {
    /// All items.
    pub fn items(&self) -> Result<Vec<T>, LoadError> {
        self.read(CoList::<T>::snapshot)
    }

    /// All items, each by itself: one that doesn't fit the type doesn't hide the others.
    pub fn try_items(&self) -> Result<Vec<Result<T, SchemaError>>, LoadError> {
        self.read(|raw| {
            let items = raw_list(raw)?.values().enumerate();
            let read = |(index, value)| read(index, value).map_err(|error| error.of(self.id()));
            Ok(items.map(read).collect())
        })
    }

    /// The item at a position.
    pub fn get(&self, index: usize) -> Result<Option<T>, LoadError> {
        self.read(|raw| {
            raw_list(raw)?
                .get(index)
                .map(|item| read(index, item.value))
                .transpose()
        })
    }

    /// How many items there are.
    pub fn len(&self) -> Result<usize, LoadError> {
        self.read(|raw| Ok(raw_list(raw)?.len()))
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> Result<bool, LoadError> {
        Ok(self.len()? == 0)
    }

    /// Who inserted the item at a position, and when.
    pub fn edit(&self, index: usize) -> Option<Edit> {
        let edit = self.read(|raw| Ok(raw_list(raw)?.get(index).map(|item| item.edit)));
        edit.ok()?.map(Edit::from)
    }

    /// Adds an item at the end.
    pub fn push(&self, item: &T) -> Result<(), WriteError> {
        self.extend([item])
    }

    /// Adds items at the end, as one transaction.
    pub fn extend<'a>(&self, items: impl IntoIterator<Item = &'a T>) -> Result<(), WriteError> {
        let items = items.into_iter().map(item_to_json).collect::<Result<_, _>>()?;
        self.apply(ListChange::Push(items))
    }

    /// Inserts an item so that it has this position.
    pub fn insert(&self, index: usize, item: &T) -> Result<(), WriteError> {
        self.apply(ListChange::Insert(index, item_to_json(item)?))
    }

    /// Replaces the item at a position.
    pub fn set(&self, index: usize, item: &T) -> Result<(), WriteError> {
        self.apply(ListChange::Set(index, item_to_json(item)?))
    }

    /// Removes the item at a position.
    pub fn remove(&self, index: usize) -> Result<(), WriteError> {
        self.apply(ListChange::Remove(index))
    }

    fn apply(&self, change: ListChange) -> Result<(), WriteError> {
        let _updates = self.node().lock_updates();
        self.read(|_| Ok(()))?;
        let changes = self.node().core(|core, _| {
            let view = core.list(self.id()).map_err(LoadError::from)?;
            change.check(view.len())?;
            Ok::<_, WriteError>(change.into_changes(view))
        })?;
        if changes.is_empty() {
            return Ok(());
        }
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &changes, Privacy::Private, None))
    }
}

/// A change of a list, by positions.
#[derive(Debug)]
pub(crate) enum ListChange {
    Push(Vec<Value>),
    Insert(usize, Value),
    Set(usize, Value),
    Remove(usize),
}

impl ListChange {
    /// Checks the position in a list of this length and returns the length after the change.
    pub fn check(&self, len: usize) -> Result<usize, WriteError> {
        let (index, is_valid, after) = match self {
            Self::Push(items) => (len, true, len + items.len()),
            Self::Insert(index, _) => (*index, *index <= len, len + 1),
            Self::Set(index, _) => (*index, *index < len, len),
            Self::Remove(index) => (*index, *index < len, len.saturating_sub(1)),
        };
        if is_valid {
            Ok(after)
        } else {
            Err(WriteError::OutOfBounds { index, len })
        }
    }

    /// The changes as they are written; nothing if the position has gone.
    pub fn into_changes(self, view: &ListView) -> Vec<Value> {
        match self {
            Self::Push(items) => view.push_changes(items),
            Self::Insert(index, item) => view.insert_changes(index, vec![item]),
            Self::Set(index, item) => view.set_changes(index, item).unwrap_or_default(),
            Self::Remove(index) => view.remove_change(index).into_iter().collect(),
        }
    }

    /// The values that it writes.
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Push(items) => items,
            Self::Insert(_, item) | Self::Set(_, item) => std::slice::from_ref(item),
            Self::Remove(_) => &[],
        }
    }
}

/// The changes that make a new list.
pub(crate) fn new_list_changes<T: Item>(
    items: impl IntoIterator<Item = T>,
) -> Result<Vec<Value>, SchemaError> {
    let items = items
        .into_iter()
        .map(|item| item_to_json(&item))
        .collect::<Result<_, _>>()?;
    Ok(ListView::default().push_changes(items))
}
