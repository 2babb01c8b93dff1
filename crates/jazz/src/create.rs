//! Making values, and finding those whose id follows from what they are for.

use cojson::NewValue;
use cojson::header::{Header, Uniqueness, ValueType};
use cojson::ids::CoId;
use cojson::transaction::Privacy;
use serde_json::{Value, json};

use crate::account::Account;
use crate::error::{LoadError, SchemaError, WriteError};
use crate::feed::{CoFeed, feed_item_to_json};
use crate::group::Group;
use crate::list::{CoList, Item, new_list_changes};
use crate::map::{CoMap, MapWriter};
use crate::node::Node;
use crate::record::{CoRecord, new_record_changes};
use crate::text::{CoPlainText, CoRichText, CoText, TextKind};
use crate::value::{Co, CoValue, Ref, Shape};

/// What can own values: a [`Group`], or an account, whose values only itself can read and write.
pub trait Owner: sealed::Sealed {
    /// The id.
    fn owner_id(&self) -> &CoId;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Group {}
    impl Sealed for super::Co<super::Account> {}
}

impl Owner for Group {
    fn owner_id(&self) -> &CoId {
        self.id()
    }
}

impl Owner for Co<Account> {
    fn owner_id(&self) -> &CoId {
        self.id()
    }
}

/// A map to be made.
pub(crate) fn new_map<T: CoMap>(owner: &impl Owner, value: &T) -> Result<NewValue, SchemaError> {
    let changes = MapWriter::of(value)?.into_changes();
    Ok(NewValue::new(ValueType::CoMap, owner.owner_id().clone(), changes))
}

/// A value of any kind to be made. Without changes it has no transaction.
pub(crate) fn new_value(owner: &impl Owner, shape: Shape, init: Vec<Value>) -> NewValue {
    let (value_type, meta) = shape.header();
    let mut new = NewValue::new(value_type, owner.owner_id().clone(), init);
    new.meta = meta;
    new.init = new.init.filter(|changes| !changes.is_empty());
    new
}

/// A list to be made.
pub(crate) fn new_list<T: Item>(
    owner: &impl Owner,
    items: impl IntoIterator<Item = T>,
) -> Result<NewValue, SchemaError> {
    Ok(new_value(owner, Shape::List, new_list_changes(items)?))
}

/// A feed to be made.
pub(crate) fn new_feed<T: Item>(
    owner: &impl Owner,
    items: impl IntoIterator<Item = T>,
) -> Result<NewValue, SchemaError> {
    let items = items.into_iter().map(|item| feed_item_to_json(&item));
    Ok(new_value(owner, Shape::Feed, items.collect::<Result<_, _>>()?))
}

/// A record to be made.
pub(crate) fn new_record<K: AsRef<str>, T: Item>(
    owner: &impl Owner,
    entries: impl IntoIterator<Item = (K, T)>,
) -> Result<NewValue, SchemaError> {
    Ok(NewValue::new(
        ValueType::CoMap,
        owner.owner_id().clone(),
        new_record_changes(entries)?,
    ))
}

/// Gives a value the id that everybody can find.
pub(crate) fn unique(mut new: NewValue, uniqueness: Uniqueness) -> NewValue {
    new.uniqueness = Some(uniqueness);
    if new.init.is_none() {
        // An empty list or feed with a deterministic id has a first transaction, in clear, so that it has a time of creation.
        new.init = Some(Vec::new());
        new.privacy = Privacy::Trusting;
    }
    new
}

/// Of several that make the same value at once the first counts.
fn first_writer_wins(mut new: NewValue) -> NewValue {
    new.init_meta = Some(json!({"fww": "init"}));
    new
}

impl Node {
    /// Makes a map.
    pub fn create<T: CoMap>(&self, owner: &impl Owner, value: T) -> Result<Co<T>, WriteError> {
        self.create_value(new_map(owner, &value)?)
    }

    /// Makes a list.
    pub fn create_list<T: Item>(
        &self,
        owner: &impl Owner,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoList<T>>, WriteError> {
        self.create_value(new_list(owner, items)?)
    }

    /// Makes a list from which only admins and managers of its group can take items.
    pub fn create_append_only_list<T: Item>(
        &self,
        owner: &impl Owner,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoList<T>>, WriteError> {
        let mut new = new_list(owner, items)?;
        new.restrict_deletion = true;
        self.create_value(new)
    }

    /// Makes a feed.
    pub fn create_feed<T: Item>(
        &self,
        owner: &impl Owner,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoFeed<T>>, WriteError> {
        self.create_value(new_feed(owner, items)?)
    }

    /// Makes a text.
    pub fn create_text(&self, owner: &impl Owner, text: &str) -> Result<Co<CoPlainText>, WriteError> {
        self.create_text_value(owner, text)
    }

    /// Makes a text that is HTML.
    pub fn create_rich_text(&self, owner: &impl Owner, html: &str) -> Result<Co<CoRichText>, WriteError> {
        self.create_text_value(owner, html)
    }

    fn create_text_value<K: TextKind>(
        &self,
        owner: &impl Owner,
        text: &str,
    ) -> Result<Co<CoText<K>>, WriteError> {
        self.transaction(|tx| tx.create_text_value(owner, text))
    }

    /// Makes a record.
    pub fn create_record<K: AsRef<str>, T: Item>(
        &self,
        owner: &impl Owner,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<Co<CoRecord<T>>, WriteError> {
        self.create_value(new_record(owner, entries)?)
    }

    /// Makes the map that everybody who knows the owner can find by `unique`. Fails if it is known here already;
    /// one that somebody else has made and that isn't known here becomes one with it.
    pub fn create_unique<T: CoMap>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        value: T,
    ) -> Result<Co<T>, WriteError> {
        self.create_value(self::unique(new_map(owner, &value)?, unique.into()))
    }

    /// Makes a list that can be found by `unique`, as [`create_unique`](Self::create_unique) does.
    pub fn create_unique_list<T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoList<T>>, WriteError> {
        self.create_value(self::unique(new_list(owner, items)?, unique.into()))
    }

    /// Makes a record that can be found by `unique`, as [`create_unique`](Self::create_unique) does.
    pub fn create_unique_record<K: AsRef<str>, T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<Co<CoRecord<T>>, WriteError> {
        self.create_value(self::unique(new_record(owner, entries)?, unique.into()))
    }

    /// Makes a feed that can be found by `unique`, as [`create_unique`](Self::create_unique) does.
    pub fn create_unique_feed<T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        items: impl IntoIterator<Item = T>,
    ) -> Result<Co<CoFeed<T>>, WriteError> {
        self.create_value(self::unique(new_feed(owner, items)?, unique.into()))
    }

    /// A reference to the value of type `T` that has this owner and `unique`, whether or not it was made yet.
    pub fn unique_ref<T: CoValue>(owner: &CoId, unique: impl Into<Uniqueness>) -> Ref<T> {
        let (value_type, meta) = T::SHAPE.header();
        let header = Header::unique(value_type, owner.clone(), meta, unique.into());
        Ref::new(header.id().clone())
    }

    /// Loads the value that was made with this owner and `unique`, if it was.
    pub async fn load_unique<T: CoValue>(
        &self,
        owner: &CoId,
        unique: impl Into<Uniqueness>,
    ) -> Result<Option<Co<T>>, LoadError> {
        match self.load(&Self::unique_ref::<T>(owner, unique)).await {
            // A header alone comes from anybody and isn't a value yet.
            Ok(value) => Ok(self
                .core(|core, _| has_content(core, value.id()))
                .then_some(value)),
            Err(LoadError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Loads the map with this owner and `unique`, or makes it from `value`. If several do so at once, one of them
    /// makes it for all.
    pub async fn get_or_create_unique<T: CoMap>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        value: T,
    ) -> Result<Co<T>, WriteError> {
        let unique = unique.into();
        match self.load_unique(owner.owner_id(), unique.clone()).await? {
            Some(found) => Ok(found),
            None => self.ensure_value(first_writer_wins(self::unique(new_map(owner, &value)?, unique))),
        }
    }

    /// Loads the list with this owner and `unique`, or makes it, empty.
    pub async fn get_or_create_unique_list<T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
    ) -> Result<Co<CoList<T>>, WriteError> {
        let unique = unique.into();
        match self.load_unique(owner.owner_id(), unique.clone()).await? {
            Some(found) => Ok(found),
            None => self.ensure_value(self::unique(new_list(owner, Vec::<T>::new())?, unique)),
        }
    }

    /// Loads the feed with this owner and `unique`, or makes it, empty.
    pub async fn get_or_create_unique_feed<T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
    ) -> Result<Co<CoFeed<T>>, WriteError> {
        let unique = unique.into();
        match self.load_unique(owner.owner_id(), unique.clone()).await? {
            Some(found) => Ok(found),
            None => self.ensure_value(self::unique(new_feed(owner, Vec::<T>::new())?, unique)),
        }
    }

    /// Loads the record with this owner and `unique`, or makes it, empty.
    pub async fn get_or_create_unique_record<T: Item>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
    ) -> Result<Co<CoRecord<T>>, WriteError> {
        let unique = unique.into();
        match self.load_unique(owner.owner_id(), unique.clone()).await? {
            Some(found) => Ok(found),
            None => self.ensure_value(self::unique(new_record(owner, Vec::<(&str, T)>::new())?, unique)),
        }
    }

    /// Loads the map with this owner and `unique` and makes it equal to `value`, or makes it.
    pub async fn upsert_unique<T: CoMap>(
        &self,
        owner: &impl Owner,
        unique: impl Into<Uniqueness>,
        value: T,
    ) -> Result<Co<T>, WriteError> {
        let unique = unique.into();
        match self.load_unique::<T>(owner.owner_id(), unique.clone()).await? {
            Some(found) => {
                found.replace(&value)?;
                Ok(found)
            }
            None => self.ensure_value(self::unique(new_map(owner, &value)?, unique)),
        }
    }

    pub(crate) fn create_value<T>(&self, new: NewValue) -> Result<Co<T>, WriteError> {
        let owner = new.owner.clone();
        let id = self.write(|core, cx| core.create(cx, new))?;
        Ok(Co::new(self, id, owner))
    }

    /// Makes a value, or writes its first transaction if the header is here without one: another task of ours was
    /// faster to load it, or somebody sent nothing else.
    fn ensure_value<T>(&self, new: NewValue) -> Result<Co<T>, WriteError> {
        let owner = new.owner.clone();
        let id = self.write(|core, cx| {
            let header = new.header(cx);
            let id = header.id().clone();
            if !core.has(&id) {
                return core.create_with_header(cx, header, new);
            }
            if !has_content(core, &id) {
                let changes = new.init.unwrap_or_default();
                core.write(cx, &id, &changes, new.privacy, new.init_meta.as_ref())?;
            }
            Ok(id)
        })?;
        Ok(Co::new(self, id, owner))
    }
}

fn has_content(core: &cojson::Node, id: &CoId) -> bool {
    core.log(id)
        .is_some_and(|log| log.sessions().values().any(|session| !session.is_empty()))
}
