//! Maps from any text to one type of item.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use cojson::content::MapView;
use cojson::transaction::Privacy;
use serde_json::Value;

use crate::error::{LoadError, SchemaError, WriteError, read_json};
use crate::list::Item;
use crate::load::Child;
use crate::map::{change, set, to_json};
use crate::value::{Co, CoValue, Edit, Link, Raw, Shape};

/// A map from texts to items. `T` is any serde type, or a [`Ref`](crate::Ref) to another value.
///
/// Never made itself: it is the type in `Co<CoRecord<T>>` and `Ref<CoRecord<T>>`.
pub struct CoRecord<T>(PhantomData<fn() -> T>);

const NAME: &str = "CoRecord";

fn read<T: Item>(key: &str, value: &Value) -> Result<T, SchemaError> {
    read_json(NAME, || key.to_owned(), value)
}

fn raw_map(raw: Raw<'_>) -> Result<&MapView, SchemaError> {
    match raw {
        Raw::Map(view) => Ok(view),
        _ => Err(SchemaError::new(NAME, "", "not a map")),
    }
}

/// The entries that show: jazz-tools writes `null` for references that were taken away.
fn entries(view: &MapView) -> impl Iterator<Item = (&str, &Value)> {
    view.iter().filter(|(_, value)| !value.is_null())
}

/// An item as JSON.
pub(crate) fn entry_to_json<T: Item>(key: &str, item: &T) -> Result<Value, SchemaError> {
    to_json(NAME, key, item)
}

impl<T: Item> CoValue for CoRecord<T> {
    type Snapshot = BTreeMap<String, T>;

    const SHAPE: Shape = Shape::Map;

    fn snapshot(raw: Raw<'_>) -> Result<BTreeMap<String, T>, SchemaError> {
        entries(raw_map(raw)?)
            .map(|(key, value)| Ok((key.to_owned(), read(key, value)?)))
            .collect()
    }

    fn children(raw: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        let mut children = Vec::new();
        for (key, value) in entries(raw_map(raw)?) {
            let (item, found) = Link::collect(|| read::<T>(key, value));
            Child::add(&mut children, key, item.err(), found);
        }
        Ok(children)
    }
}

impl<T: Item> Co<CoRecord<T>> {
    /// The item of a key.
    pub fn get(&self, key: impl AsRef<str>) -> Result<Option<T>, LoadError> {
        let key = key.as_ref();
        self.read(|raw| {
            let value = raw_map(raw)?.get(key).filter(|value| !value.is_null());
            value.map(|value| read(key, value)).transpose()
        })
    }

    /// Whether a key has an item.
    pub fn contains_key(&self, key: impl AsRef<str>) -> Result<bool, LoadError> {
        self.read(|raw| {
            Ok(raw_map(raw)?
                .get(key.as_ref())
                .is_some_and(|value| !value.is_null()))
        })
    }

    /// All keys, sorted.
    pub fn keys(&self) -> Result<Vec<String>, LoadError> {
        self.read(|raw| Ok(entries(raw_map(raw)?).map(|(key, _)| key.to_owned()).collect()))
    }

    /// All entries, sorted by key.
    pub fn entries(&self) -> Result<BTreeMap<String, T>, LoadError> {
        self.read(CoRecord::<T>::snapshot)
    }

    /// All entries, each by itself: one that doesn't fit the type doesn't hide the others.
    pub fn try_entries(&self) -> Result<BTreeMap<String, Result<T, SchemaError>>, LoadError> {
        self.read(|raw| {
            let read = |(key, value): (&str, &Value)| {
                let item = read(key, value).map_err(|error| error.of(self.id()));
                (key.to_owned(), item)
            };
            Ok(entries(raw_map(raw)?).map(read).collect())
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> Result<usize, LoadError> {
        self.read(|raw| Ok(entries(raw_map(raw)?).count()))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> Result<bool, LoadError> {
        self.read(|raw| Ok(entries(raw_map(raw)?).next().is_none()))
    }

    /// Who last wrote or removed a key, and when.
    pub fn edit(&self, key: impl AsRef<str>) -> Option<Edit> {
        self.read(|raw| Ok(raw_map(raw)?.edit(key.as_ref())))
            .ok()?
            .map(Edit::from)
    }

    /// Sets the item of a key. Nothing is written if it is the same already.
    pub fn insert(&self, key: impl AsRef<str>, item: &T) -> Result<(), WriteError> {
        let key = key.as_ref();
        let item = entry_to_json(key, item)?;
        let is_same = self.read(|raw| Ok(raw_map(raw)?.get(key) == Some(&item)))?;
        if is_same {
            Ok(())
        } else {
            self.write(set(key, item))
        }
    }

    /// Removes a key, if it is there.
    pub fn remove(&self, key: impl AsRef<str>) -> Result<(), WriteError> {
        let key = key.as_ref();
        let is_there = self.read(|raw| Ok(raw_map(raw)?.get(key).is_some()))?;
        if is_there {
            self.write(change(key, None))
        } else {
            Ok(())
        }
    }

    fn write(&self, change: Value) -> Result<(), WriteError> {
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &[change], Privacy::Private, None))
    }
}

/// The changes that make a new record.
pub(crate) fn new_record_changes<K: AsRef<str>, T: Item>(
    entries: impl IntoIterator<Item = (K, T)>,
) -> Result<Vec<Value>, SchemaError> {
    let set = |(key, item): (K, T)| Ok(set(key.as_ref(), entry_to_json(key.as_ref(), &item)?));
    entries.into_iter().map(set).collect()
}
