//! Several writes that take effect together.

use std::collections::HashMap;

use cojson::content::MapView;
use cojson::header::{Header, Uniqueness};
use cojson::ids::CoId;
use cojson::limits::MAX_CREATED_TRANSACTION_BYTES;
use cojson::transaction::Privacy;
use cojson::{Cx, NewValue, WriteError as CoreError};
use indexmap::IndexMap;
use serde_json::Value;

use crate::create::{Owner, new_feed, new_list, new_map, new_record, unique};
use crate::driver::{OsEntropy, now};
use crate::error::{LoadError, WriteError};
use crate::feed::{CoFeed, feed_item_to_json};
use crate::list::{CoList, Item, ListChange, item_to_json};
use crate::map::{CoMap, Fields as _, MapReader, MapWriter, Overlay, change};
use crate::node::Node;
use crate::record::{CoRecord, entry_to_json};
use crate::text::{CoPlainText, CoRichText, CoText, TextChange, TextKind, new_text};
use crate::value::{Co, CoValue, Shape, check_access};

/// Writes that are staged until the closure of [`Node::transaction`] returns.
pub struct Transaction<'a> {
    node: &'a Node,
    /// Values to be made, in the order in which they were staged, so that none links to a later one.
    creations: IndexMap<CoId, (Header, NewValue)>,
    /// Changes of values, in the order in which they were first staged.
    changes: IndexMap<CoId, Changes>,
}

const HANDLES_KNOW: &str = "an id names a value of one kind, and handles know which";

/// The changes of one value.
enum Changes {
    /// Keys and their new values; `None`: deleted.
    Map(IndexMap<String, Option<Value>>),
    List(Vec<ListChange>),
    Feed(Vec<Value>),
    Text(Vec<TextChange>),
}

impl Node {
    /// Writes several values together: all or, if the closure returns an error or something may not be written,
    /// nothing. Nobody sees a part of it here, and it is stored as one; other nodes may receive one value before
    /// another. New values come before the changes that link to them, so what is interrupted leaves an orphan and
    /// never a dangling link.
    ///
    /// Inside the closure, use the methods of [`Transaction`]: what writes through the node itself isn't part of it.
    pub fn transaction<R>(
        &self,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<R, WriteError>,
    ) -> Result<R, WriteError> {
        let _updates = self.lock_updates();
        let mut transaction = Transaction {
            node: self,
            creations: IndexMap::new(),
            changes: IndexMap::new(),
        };
        let result = run(&mut transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

impl Transaction<'_> {
    /// Makes a map. Its handle can be linked to at once, and be read once the transaction is done.
    pub fn create<T: CoMap>(&mut self, owner: &impl Owner, value: T) -> Result<Co<T>, WriteError> {
        Ok(self.stage(new_map(owner, &value)?))
    }

    /// Makes a list.
    pub fn create_list<T: Item>(
        &mut self,
        owner: &impl Owner,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoList<T>>, WriteError> {
        Ok(self.stage(new_list(owner, items)?))
    }

    /// Makes a record.
    pub fn create_record<K: AsRef<str>, T: Item>(
        &mut self,
        owner: &impl Owner,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<Co<CoRecord<T>>, WriteError> {
        Ok(self.stage(new_record(owner, entries)?))
    }

    /// Makes a feed.
    pub fn create_feed<T: Item>(
        &mut self,
        owner: &impl Owner,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoFeed<T>>, WriteError> {
        Ok(self.stage(new_feed(owner, items)?))
    }

    /// Makes a text.
    pub fn create_text(&mut self, owner: &impl Owner, text: &str) -> Result<Co<CoPlainText>, WriteError> {
        self.create_text_value(owner, text)
    }

    /// Makes a text that is HTML.
    pub fn create_rich_text(&mut self, owner: &impl Owner, html: &str) -> Result<Co<CoRichText>, WriteError> {
        self.create_text_value(owner, html)
    }

    pub(crate) fn create_text_value<K: TextKind>(
        &mut self,
        owner: &impl Owner,
        text: &str,
    ) -> Result<Co<CoText<K>>, WriteError> {
        let (new, rest) = new_text(owner, text);
        let value = self.stage(new);
        if let Some(rest) = rest {
            self.changes.insert(value.id().clone(), Changes::Text(vec![rest]));
        }
        Ok(value)
    }

    /// Makes a map that can be found by `unique`. Fails if it is known here already.
    pub fn create_unique<T: CoMap>(
        &mut self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        value: T,
    ) -> Result<Co<T>, WriteError> {
        Ok(self.stage(self::unique(new_map(owner, &value)?, unique.into())))
    }

    /// Makes a record that can be found by `unique`. Fails if it is known here already.
    pub fn create_unique_record<K: AsRef<str>, T: Item>(
        &mut self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<Co<CoRecord<T>>, WriteError> {
        Ok(self.stage(self::unique(new_record(owner, entries)?, unique.into())))
    }

    fn stage<T>(&mut self, new: NewValue) -> Co<T> {
        let header = new.header(&mut Cx {
            now: now(),
            rng: &mut OsEntropy,
        });
        let value = Co::new(self.node, header.id().clone(), new.owner.clone());
        self.creations.insert(header.id().clone(), (header, new));
        value
    }

    /// A map with what is staged for it.
    pub fn get<T: CoMap>(&self, map: &Co<T>) -> Result<T, LoadError> {
        let mut staged = HashMap::new();
        let created = self.creations.get(map.id());
        if let Some((_, new)) = created {
            staged.extend(new.init.iter().flatten().filter_map(entry_of));
        }
        if let Some(Changes::Map(changes)) = self.changes.get(map.id()) {
            staged.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let read = |base: Option<&MapView>| {
            let overlay = Overlay {
                base,
                staged: &staged,
            };
            T::from_map(&MapReader::new::<T>(&overlay)).map_err(|error| error.of(map.id()))
        };
        if created.is_some() {
            return Ok(read(None)?);
        }
        self.node.core(|core, _| {
            check_access(core, map.id(), T::SHAPE)?;
            Ok(read(Some(core.map(map.id())?))?)
        })
    }

    /// Changes a map; what is staged for it already is seen.
    pub fn update<T: CoMap, R>(
        &mut self,
        map: &Co<T>,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, WriteError> {
        let mut value = self.get(map)?;
        let before = MapWriter::of(&value)?;
        let result = change(&mut value);
        let differences = MapWriter::of(&value)?.into_differences(&before);
        self.keys(map.id()).extend(
            differences
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        Ok(result)
    }

    /// Sets the item of a key.
    pub fn insert<T: Item>(
        &mut self,
        record: &Co<CoRecord<T>>,
        key: impl AsRef<str>,
        item: &T,
    ) -> Result<(), WriteError> {
        let key = key.as_ref();
        let item = entry_to_json(key, item)?;
        self.keys(record.id()).insert(key.to_owned(), Some(item));
        Ok(())
    }

    /// Removes a key.
    pub fn remove<T: Item>(
        &mut self,
        record: &Co<CoRecord<T>>,
        key: impl AsRef<str>,
    ) -> Result<(), WriteError> {
        self.keys(record.id()).insert(key.as_ref().to_owned(), None);
        Ok(())
    }

    /// Adds an item at the end of a list.
    pub fn push<T: Item>(&mut self, list: &Co<CoList<T>>, item: &T) -> Result<(), WriteError> {
        let item = item_to_json(item)?;
        let changes = self.positions(list.id());
        match changes.last_mut() {
            Some(ListChange::Push(items)) => items.push(item),
            _ => changes.push(ListChange::Push(vec![item])),
        }
        Ok(())
    }

    /// Inserts an item into a list so that it has this position among what is there then.
    pub fn insert_at<T: Item>(
        &mut self,
        list: &Co<CoList<T>>,
        index: usize,
        item: &T,
    ) -> Result<(), WriteError> {
        let item = item_to_json(item)?;
        self.positions(list.id()).push(ListChange::Insert(index, item));
        Ok(())
    }

    /// Replaces the item at a position of a list.
    pub fn set_at<T: Item>(
        &mut self,
        list: &Co<CoList<T>>,
        index: usize,
        item: &T,
    ) -> Result<(), WriteError> {
        let item = item_to_json(item)?;
        self.positions(list.id()).push(ListChange::Set(index, item));
        Ok(())
    }

    /// Removes the item at a position of a list.
    pub fn remove_at<T: Item>(&mut self, list: &Co<CoList<T>>, index: usize) -> Result<(), WriteError> {
        self.positions(list.id()).push(ListChange::Remove(index));
        Ok(())
    }

    /// Appends an item to a feed.
    pub fn append<T: Item>(&mut self, feed: &Co<CoFeed<T>>, item: &T) -> Result<(), WriteError> {
        let item = feed_item_to_json(item)?;
        let changes = self
            .changes
            .entry(feed.id().clone())
            .or_insert_with(|| Changes::Feed(Vec::new()));
        match changes {
            Changes::Feed(items) => items.push(item),
            _ => unreachable!("{HANDLES_KNOW}"),
        }
        Ok(())
    }

    fn keys(&mut self, id: &CoId) -> &mut IndexMap<String, Option<Value>> {
        let changes = self
            .changes
            .entry(id.clone())
            .or_insert_with(|| Changes::Map(IndexMap::new()));
        match changes {
            Changes::Map(keys) => keys,
            _ => unreachable!("{HANDLES_KNOW}"),
        }
    }

    fn positions(&mut self, id: &CoId) -> &mut Vec<ListChange> {
        let changes = self
            .changes
            .entry(id.clone())
            .or_insert_with(|| Changes::List(Vec::new()));
        match changes {
            Changes::List(positions) => positions,
            _ => unreachable!("{HANDLES_KNOW}"),
        }
    }

    /// Checks everything, then writes everything, under one lock.
    fn commit(self) -> Result<(), WriteError> {
        let Self {
            node,
            creations,
            changes,
        } = self;
        node.core(|core, cx| {
            check(core, cx, &creations, &changes, node)?;
            let write = || {
                for (_, (header, new)) in creations {
                    core.create_with_header(cx, header, new)?;
                }
                for (id, changes) in changes {
                    changes.write(core, cx, &id)?;
                }
                Ok(())
            };
            write().map_err(|error| WriteError::from_core(error, core, node.account_id()))
        })
    }
}

/// Finds out whether anything can't be written, so that nothing is.
fn check(
    core: &mut cojson::Node,
    cx: &mut Cx<'_>,
    creations: &IndexMap<CoId, (Header, NewValue)>,
    changes: &IndexMap<CoId, Changes>,
    node: &Node,
) -> Result<(), WriteError> {
    let mut owners = Vec::new();
    let mut require_owner = |core: &mut cojson::Node, owner: CoId| {
        if owners.contains(&owner) {
            return Ok(());
        }
        let checked = core.check_write(cx, &owner);
        owners.push(owner);
        checked.map_err(|error| WriteError::from_core(error, core, node.account_id()))
    };
    for (id, (_, new)) in creations {
        if core.has(id) {
            return Err(WriteError::Exists(id.clone()));
        }
        check_size(new.init.iter().flatten())?;
        require_owner(core, new.owner.clone())?;
    }
    for (id, changes) in changes {
        let len = match creations.get(id) {
            Some((_, new)) => new.init.as_ref().map_or(0, Vec::len),
            None => {
                check_access(core, id, changes.shape())?;
                let owner = core.log(id).and_then(|log| log.header().owner()).cloned();
                require_owner(core, owner.unwrap_or_else(|| id.clone()))?;
                match changes {
                    Changes::List(_) | Changes::Text(_) => core.list(id).map_err(LoadError::from)?.len(),
                    Changes::Map(_) | Changes::Feed(_) => 0,
                }
            }
        };
        match changes {
            Changes::Map(keys) => check_size(keys.values().flatten())?,
            Changes::List(positions) => {
                let after = positions.iter().try_fold(len, |len, change| {
                    check_size(change.values())?;
                    change.check(len)
                });
                after?;
            }
            Changes::Feed(items) => check_size(items)?,
            Changes::Text(edits) => {
                edits.iter().try_fold(len, |len, edit| edit.check(len))?;
            }
        }
    }
    Ok(())
}

/// Keeps well below the limit of one transaction: keys and positions take room too.
pub(crate) fn check_size<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<(), WriteError> {
    const MAX: usize = MAX_CREATED_TRANSACTION_BYTES;
    let mut total = 0;
    for value in values {
        let mut counter = Counter(0);
        // Counting can't fail, and JSON values can always be written.
        let _ = serde_json::to_writer(&mut counter, value);
        total += counter.0 + ROOM_PER_CHANGE;
    }
    if total > MAX {
        Err(WriteError::TooLarge(total))
    } else {
        Ok(())
    }
}

/// What a change takes besides its value: operation and key or position.
const ROOM_PER_CHANGE: usize = 300;

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The key and value of a change that sets one.
fn entry_of(change: &Value) -> Option<(String, Option<Value>)> {
    let key = change.get("key")?.as_str()?;
    Some((key.to_owned(), change.get("value").cloned()))
}

impl Changes {
    fn shape(&self) -> Shape {
        match self {
            Self::Map(_) => Shape::Map,
            Self::List(_) => Shape::List,
            Self::Feed(_) => Shape::Feed,
            Self::Text(_) => Shape::Text,
        }
    }

    fn write(self, core: &mut cojson::Node, cx: &mut Cx<'_>, id: &CoId) -> Result<(), CoreError> {
        let mut write = |core: &mut cojson::Node, changes: &[Value]| match changes {
            [] => Ok(()),
            changes => core.write(cx, id, changes, Privacy::Private, None),
        };
        match self {
            Self::Map(keys) => {
                let view = core.map(id)?;
                let differs = |(key, value): &(String, Option<Value>)| view.field(key) != value.as_ref();
                let changes: Vec<Value> = keys
                    .into_iter()
                    .filter(differs)
                    .map(|(key, value)| change(&key, value))
                    .collect();
                write(core, &changes)
            }
            Self::List(positions) => positions.into_iter().try_for_each(|position| {
                let changes = position.into_changes(core.list(id)?);
                write(core, &changes)
            }),
            Self::Feed(items) => write(core, &items),
            Self::Text(edits) => edits.into_iter().try_for_each(|edit| edit.write(core, cx, id)),
        }
    }
}
