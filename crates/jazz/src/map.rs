//! Maps with a fixed set of fields, as structs.

use std::collections::HashMap;

use cojson::content::MapView;
use cojson::transaction::Privacy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{LoadError, SchemaError, WriteError, read_json};
use crate::load::Child;
use crate::record::CoRecord;
use crate::value::{Co, CoValue, Edit, Link, Raw, Shape};

/// A struct or enum that is the schema of a map. Made by `#[derive(CoMap)]`, described at [the macro](macro@crate::CoMap).
pub trait CoMap: Sized + Send + Sync + 'static {
    /// The name of the struct, for errors.
    const NAME: &'static str;
    /// Its fields.
    const FIELDS: &'static [Field];

    /// Reads the struct.
    fn from_map(map: &MapReader<'_>) -> Result<Self, SchemaError>;

    /// Writes the struct.
    fn to_map(&self, map: &mut MapWriter) -> Result<(), SchemaError>;

    /// Brings a map that was written by an older version up to date, and does nothing to one that is. Called when a map
    /// is loaded, if our account may write to it.
    fn migrate_map(map: &Co<Self>) -> Result<(), WriteError> {
        let _ = map;
        Ok(())
    }
}

/// A field of a [`CoMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in Rust.
    pub rust_name: &'static str,
    /// Its name in the map.
    pub name: &'static str,
    /// Whether it may be absent.
    pub is_optional: bool,
}

impl Field {
    /// A field that must have a value.
    pub const fn required(rust_name: &'static str, name: &'static str) -> Self {
        Self {
            rust_name,
            name,
            is_optional: false,
        }
    }

    /// A field that may be absent.
    pub const fn optional(rust_name: &'static str, name: &'static str) -> Self {
        Self {
            rust_name,
            name,
            is_optional: true,
        }
    }
}

/// What a [`CoMap`] is read from.
pub struct MapReader<'a> {
    type_name: &'static str,
    source: &'a dyn Fields,
    /// The references of each field, while they are collected.
    links: Option<std::cell::RefCell<Vec<(&'static str, Link)>>>,
}

/// The fields of a map, stored or staged.
pub(crate) trait Fields {
    fn field(&self, name: &str) -> Option<&Value>;
}

impl Fields for MapView {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Fields for serde_json::Map<String, Value> {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl<'a> MapReader<'a> {
    pub(crate) fn new<T: CoMap>(source: &'a dyn Fields) -> Self {
        Self {
            type_name: T::NAME,
            source,
            links: None,
        }
    }

    /// Reads a field that must have a value.
    pub fn required<V: DeserializeOwned>(&self, name: &'static str) -> Result<V, SchemaError> {
        match self.source.field(name) {
            Some(value) => self.read(name, value),
            None => Err(SchemaError::new(self.type_name, name, "the field is missing")),
        }
    }

    /// Reads a field that may be absent or `null`.
    pub fn optional<V: DeserializeOwned>(&self, name: &'static str) -> Result<Option<V>, SchemaError> {
        let value = self.source.field(name).filter(|value| !value.is_null());
        value.map(|value| self.read(name, value)).transpose()
    }

    /// Reads a field that has a default when absent or `null`.
    pub fn or_default<V: DeserializeOwned + Default>(&self, name: &'static str) -> Result<V, SchemaError> {
        self.optional(name).map(Option::unwrap_or_default)
    }

    /// Reads a field whose default a function makes.
    pub fn or_else<V: DeserializeOwned>(
        &self,
        name: &'static str,
        default: impl FnOnce() -> V,
    ) -> Result<V, SchemaError> {
        Ok(self.optional(name)?.unwrap_or_else(default))
    }

    /// Reads the field that tells variants apart, and returns the position of its value among `names`.
    pub fn variant(&self, name: &'static str, names: &[&str]) -> Result<usize, SchemaError> {
        let expected = || format!("expected one of {}", names.join(", "));
        match self.source.field(name) {
            Some(value) => {
                let position = names.iter().position(|name| value == *name);
                let problem = || format!("{value} is no variant: {}", expected());
                position.ok_or_else(|| SchemaError::new(self.type_name, name, problem()))
            }
            None => {
                let problem = format!("the field is missing: {}", expected());
                Err(SchemaError::new(self.type_name, name, problem))
            }
        }
    }

    fn read<V: DeserializeOwned>(&self, name: &'static str, value: &Value) -> Result<V, SchemaError> {
        let read = || read_json(self.type_name, || name.to_owned(), value);
        let Some(links) = &self.links else { return read() };
        let (result, found) = Link::collect(read);
        links
            .borrow_mut()
            .extend(found.into_iter().map(|link| (name, link)));
        result
    }
}

/// What a [`CoMap`] is written to.
#[derive(Debug)]
pub struct MapWriter {
    type_name: &'static str,
    /// `None`: the field is to be absent; what clears it.
    pub(crate) fields: Vec<(&'static str, Option<Value>, Clear)>,
}

/// How a field loses its value: jazz-tools reads `null` as absent for references and dates only, and writes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clear {
    Delete,
    Null,
}

impl MapWriter {
    pub(crate) fn of<T: CoMap>(value: &T) -> Result<Self, SchemaError> {
        let mut map = Self {
            type_name: T::NAME,
            fields: Vec::with_capacity(T::FIELDS.len()),
        };
        value.to_map(&mut map)?;
        // What only other variants have is to go.
        for field in T::FIELDS {
            if !map.fields.iter().any(|(name, ..)| *name == field.name) {
                map.fields.push((field.name, None, Clear::Delete));
            }
        }
        Ok(map)
    }

    /// Writes the field that tells variants apart.
    pub fn variant(&mut self, name: &'static str, variant: &'static str) {
        self.fields.push((name, Some(variant.into()), Clear::Delete));
    }

    /// Writes a field that has a value.
    pub fn required<V: Serialize>(&mut self, name: &'static str, value: &V) -> Result<(), SchemaError> {
        let value = to_json(self.type_name, name, value)?;
        self.fields.push((name, Some(value), Clear::Delete));
        Ok(())
    }

    /// Writes a field that may be absent.
    pub fn optional<V: Serialize>(
        &mut self,
        name: &'static str,
        value: &Option<V>,
    ) -> Result<(), SchemaError> {
        self.option(name, value, Clear::Delete)
    }

    /// Writes a reference or date that may be absent.
    pub fn optional_or_null<V: Serialize>(
        &mut self,
        name: &'static str,
        value: &Option<V>,
    ) -> Result<(), SchemaError> {
        self.option(name, value, Clear::Null)
    }

    fn option<V: Serialize>(
        &mut self,
        name: &'static str,
        value: &Option<V>,
        clear: Clear,
    ) -> Result<(), SchemaError> {
        let value = value
            .as_ref()
            .map(|value| to_json(self.type_name, name, value))
            .transpose()?;
        self.fields.push((name, value, clear));
        Ok(())
    }

    /// The changes that make a new map.
    pub(crate) fn into_changes(self) -> Vec<Value> {
        let set = |(name, value, _): (&str, Option<Value>, _)| value.map(|value| set(name, value));
        self.fields.into_iter().filter_map(set).collect()
    }

    /// The fields that have a value.
    pub(crate) fn into_fields(self) -> serde_json::Map<String, Value> {
        let field = |(name, value, _): (&'static str, Option<Value>, _)| Some((name.to_owned(), value?));
        self.fields.into_iter().filter_map(field).collect()
    }

    /// The fields whose value isn't that of `before`, with the new value; `None`: to be deleted.
    pub(crate) fn into_differences(self, before: &dyn Fields) -> Vec<(&'static str, Option<Value>)> {
        let difference =
            |(name, value, clear): (&'static str, Option<Value>, Clear)| match (before.field(name), value) {
                (Some(before), Some(value)) if *before == value => None,
                (_, Some(value)) => Some((name, Some(value))),
                (None | Some(Value::Null), None) => None,
                (Some(_), None) if clear == Clear::Null => Some((name, Some(Value::Null))),
                (Some(_), None) => Some((name, None)),
            };
        self.fields.into_iter().filter_map(difference).collect()
    }
}

impl Fields for MapWriter {
    fn field(&self, name: &str) -> Option<&Value> {
        let mut fields = self.fields.iter();
        fields.find(|(known, ..)| *known == name)?.1.as_ref()
    }
}

/// A value as JSON.
pub(crate) fn to_json(
    type_name: &'static str,
    path: impl Into<String>,
    value: &impl Serialize,
) -> Result<Value, SchemaError> {
    serde_json::to_value(value).map_err(|error| SchemaError::new(type_name, path, error))
}

pub(crate) fn set(key: &str, value: Value) -> Value {
    json!({"op": "set", "key": key, "value": value})
}

/// The change that sets or deletes a key.
pub(crate) fn change(key: &str, value: Option<Value>) -> Value {
    match value {
        Some(value) => set(key, value),
        None => json!({"op": "del", "key": key}),
    }
}

impl<T: CoMap> CoValue for T {
    type Snapshot = T;

    const SHAPE: Shape = Shape::Map;

    fn migrate_value(map: &Co<T>) -> Result<(), WriteError> {
        T::migrate_map(map)
    }

    fn snapshot(raw: Raw<'_>) -> Result<T, SchemaError> {
        T::from_map(&MapReader::new::<T>(raw_map::<T>(raw)?))
    }

    fn children(raw: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        let mut reader = MapReader::new::<T>(raw_map::<T>(raw)?);
        reader.links = Some(Default::default());
        T::from_map(&reader)?;
        let links = reader
            .links
            .take()
            .map(std::cell::RefCell::into_inner)
            .unwrap_or_default();
        Ok(links
            .into_iter()
            .map(|(name, link)| Child {
                path: name.to_owned(),
                link: Ok(link),
            })
            .collect())
    }
}

fn raw_map<T: CoMap>(raw: Raw<'_>) -> Result<&MapView, SchemaError> {
    match raw {
        Raw::Map(view) => Ok(view),
        _ => Err(SchemaError::new(T::NAME, "", "not a map")),
    }
}

impl<T: CoMap> Co<T> {
    /// What the map is now.
    pub fn get(&self) -> Result<T, LoadError> {
        self.read(T::snapshot)
    }

    /// Changes the struct, and writes the fields that became different, as one transaction.
    ///
    /// Updates and transactions of one node run one after the other, so a counter doesn't lose counts among them. A
    /// field that another node writes at the same time has one winner.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R, WriteError> {
        let _updates = self.node().lock_updates();
        let mut value = self.get()?;
        let before = MapWriter::of(&value)?;
        let result = change(&mut value);
        self.write_differences(MapWriter::of(&value)?.into_differences(&before))?;
        Ok(result)
    }

    /// Makes the map equal to `value`, whether or not its present content fits the struct. Only fields that differ
    /// are written, as one transaction; fields unknown to the struct stay.
    pub fn replace(&self, value: &T) -> Result<(), WriteError> {
        let _updates = self.node().lock_updates();
        let wanted = MapWriter::of(value)?;
        let differences = self.read(|raw| Ok(wanted.into_differences(raw_map::<T>(raw)?)))?;
        self.write_differences(differences)
    }

    /// The same map as a record of whatever its fields hold, to read and write what doesn't fit the struct.
    pub fn as_record(&self) -> Co<CoRecord<Value>> {
        Co::new(self.node(), self.id().clone(), self.owner().id().clone())
    }

    fn write_differences(&self, differences: Vec<(&'static str, Option<Value>)>) -> Result<(), WriteError> {
        if differences.is_empty() {
            return Ok(());
        }
        let changes: Vec<Value> = differences
            .into_iter()
            .map(|(name, value)| change(name, value))
            .collect();
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &changes, Privacy::Private, None))
    }

    /// Who last wrote a field, and when. The field is named as in Rust or as in the map.
    pub fn edit(&self, field: &str) -> Option<Edit> {
        let known = T::FIELDS
            .iter()
            .find(|known| known.rust_name == field || known.name == field)?;
        let edit = self
            .node()
            .core(|core, _| core.map(self.id()).ok()?.edit(known.name));
        edit.map(Edit::from)
    }
}

/// Fields of a map with staged changes on top.
pub(crate) struct Overlay<'a> {
    pub base: Option<&'a MapView>,
    pub staged: &'a HashMap<String, Option<Value>>,
}

impl Fields for Overlay<'_> {
    fn field(&self, name: &str) -> Option<&Value> {
        match self.staged.get(name) {
            Some(staged) => staged.as_ref(),
            None => self.base?.get(name),
        }
    }
}
