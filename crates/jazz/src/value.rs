//! References to values, and handles of loaded ones.

use std::cell::RefCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use cojson::content::{FileView, ListView, MapView, StreamView};
use cojson::group::{GroupView, Role};
use cojson::header::{Kind, ValueType};
use cojson::ids::{AccountId, Author, CoId, ParseIdError};
use cojson::transaction::Timestamp as CoreTimestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::account::Account;
use crate::error::{LoadError, SchemaError, WriteError};
use crate::group::Group;
use crate::load::Child;
use crate::node::Node;
use crate::subscribe::{Subscription, fingerprint};
use crate::time::Timestamp;

/// A type of CoValue: what derives [`CoMap`](crate::CoMap), [`CoList`](crate::CoList), [`CoRecord`](crate::CoRecord),
/// [`CoFeed`](crate::CoFeed), [`CoPlainText`](crate::CoPlainText), [`CoRichText`](crate::CoRichText),
/// [`FileStream`](crate::FileStream), [`CoVector`](crate::CoVector), [`Account`] and [`Group`]. Not to be implemented by
/// hand.
pub trait CoValue: Sized + Send + Sync + 'static {
    /// The content at one moment.
    type Snapshot: Send + 'static;

    #[doc(hidden)]
    const SHAPE: Shape;

    #[doc(hidden)]
    fn snapshot(raw: Raw<'_>) -> Result<Self::Snapshot, SchemaError>;

    /// What the content refers to, each with its path.
    #[doc(hidden)]
    fn children(raw: Raw<'_>) -> Result<Vec<Child>, SchemaError>;

    /// Brings older content up to date.
    #[doc(hidden)]
    fn migrate_value(value: &Co<Self>) -> Result<(), WriteError> {
        let _ = value;
        Ok(())
    }
}

/// How the core sees a type of value.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A map.
    Map,
    /// A list.
    List,
    /// A feed.
    Feed,
    /// A text.
    Text,
    /// A file.
    File,
    /// A vector of numbers: a file that is read as a whole.
    Vector,
    /// A group.
    Group,
    /// An account.
    Account,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::List => "list",
            Self::Feed => "feed",
            Self::Text => "text",
            Self::File => "file",
            Self::Vector => "vector",
            Self::Group => "group",
            Self::Account => "account",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Map => Kind::Map,
            Self::List => Kind::List,
            Self::Feed => Kind::Stream,
            Self::Text => Kind::PlainText,
            Self::File | Self::Vector => Kind::Binary,
            Self::Group => Kind::Group,
            Self::Account => Kind::Account,
        }
    }

    /// The type and the meta in the header of such a value.
    pub(crate) fn header(self) -> (ValueType, Option<Map<String, Value>>) {
        match self {
            Self::Map | Self::Group | Self::Account => (ValueType::CoMap, None),
            Self::List => (ValueType::CoList, None),
            Self::Feed => (ValueType::CoStream, None),
            Self::Text => (ValueType::CoPlainText, None),
            Self::File | Self::Vector => {
                let binary = Map::from_iter([("type".to_owned(), "binary".into())]);
                (ValueType::CoStream, Some(binary))
            }
        }
    }
}

/// The content of a value as the core has it.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Raw<'a> {
    /// Of a map.
    Map(&'a MapView),
    /// Of a list or a text.
    List(&'a ListView),
    /// Of a feed.
    Feed(&'a StreamView),
    /// Of a file.
    File(&'a FileView),
    /// All bytes of a file, if it is complete.
    Bytes(Option<&'a [u8]>),
    /// Of a group or an account, up to a time.
    Group(&'a GroupView, CoreTimestamp),
}

/// Calls `read` with the content of a value of type `T`, if our account may see it.
pub(crate) fn with_raw<T: CoValue, R>(
    core: &mut cojson::Node,
    id: &CoId,
    read: impl FnOnce(Raw<'_>) -> Result<R, SchemaError>,
) -> Result<R, LoadError> {
    check_readable(core, id, T::SHAPE)?;
    let bytes;
    let raw = match T::SHAPE {
        Shape::Map => Raw::Map(core.map(id)?),
        Shape::List | Shape::Text => Raw::List(core.list(id)?),
        Shape::Feed => Raw::Feed(core.stream(id)?),
        Shape::File => Raw::File(core.file(id)?),
        Shape::Vector => {
            bytes = all_bytes(core, id)?;
            Raw::Bytes(bytes.as_deref())
        }
        Shape::Group | Shape::Account => Raw::Group(core.group(id)?, CoreTimestamp::MAX),
    };
    read(raw).map_err(|error| error.of(id).into())
}

/// As [`with_raw`], with the content of an earlier time.
pub(crate) fn with_raw_at<T: CoValue, R>(
    core: &mut cojson::Node,
    id: &CoId,
    at: CoreTimestamp,
    read: impl FnOnce(Raw<'_>) -> Result<R, SchemaError>,
) -> Result<R, LoadError> {
    check_readable(core, id, T::SHAPE)?;
    let read = match T::SHAPE {
        Shape::Map => read(Raw::Map(&core.map_at(id, at)?)),
        Shape::List | Shape::Text => read(Raw::List(&core.list_at(id, at)?)),
        Shape::Feed => read(Raw::Feed(&core.stream_at(id, at)?)),
        Shape::File => read(Raw::File(&core.file_at(id, at)?)),
        Shape::Vector => {
            let was_complete = core.file_at(id, at)?.is_complete();
            let bytes = all_bytes(core, id)?.filter(|_| was_complete);
            read(Raw::Bytes(bytes.as_deref()))
        }
        Shape::Group | Shape::Account => read(Raw::Group(core.group(id)?, at)),
    };
    read.map_err(|error| error.of(id).into())
}

/// The bytes of a file, if it is complete.
pub(crate) fn all_bytes(core: &mut cojson::Node, id: &CoId) -> Result<Option<Vec<u8>>, LoadError> {
    let file = core.file(id)?;
    if !file.is_complete() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for index in 0..file.chunk_count() {
        bytes.extend(core.file_chunk(id, index)?.unwrap_or_default());
    }
    Ok(Some(bytes))
}

/// Whether a value is here, wasn't deleted, is of the right kind, and may be read.
pub(crate) fn check_access(core: &mut cojson::Node, id: &CoId, shape: Shape) -> Result<(), LoadError> {
    check_readable(core, id, shape)?;
    if core.is_deleted(id) {
        Err(LoadError::Deleted(id.clone()))
    } else {
        Ok(())
    }
}

/// As [`check_access`], for what will look for a deletion itself.
fn check_readable(core: &mut cojson::Node, id: &CoId, shape: Shape) -> Result<(), LoadError> {
    if check_known(core, id)? == shape.kind() {
        Ok(())
    } else {
        Err(LoadError::WrongKind {
            id: id.clone(),
            expected: shape.name(),
        })
    }
}

/// The kind of a value that is here and may be read. Groups and accounts are public.
pub(crate) fn check_known(core: &mut cojson::Node, id: &CoId) -> Result<Kind, LoadError> {
    let log = core.log(id).ok_or_else(|| LoadError::Unavailable(id.clone()))?;
    let kind = log.header().kind();
    if !matches!(kind, Kind::Group | Kind::Account) && core.my_role(id).is_none() {
        return Err(LoadError::Unauthorised(id.clone()));
    }
    Ok(kind)
}

/// The id of a value of type `T`; as a field, a link to that value. It is stored as the id's text.
pub struct Ref<T> {
    id: CoId,
    of: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    /// A reference to the value with this id.
    pub fn new(id: CoId) -> Self {
        Self { id, of: PhantomData }
    }

    /// The id.
    pub fn id(&self) -> &CoId {
        &self.id
    }

    /// The id alone.
    pub fn into_id(self) -> CoId {
        self.id
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self::new(self.id.clone())
    }
}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({})", self.id)
    }
}

impl<T> fmt::Display for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Ref<T> {}

impl<T> PartialOrd for Ref<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ref<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id.cmp(&other.id)
    }
}

impl<T> Hash for Ref<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<T> From<CoId> for Ref<T> {
    fn from(id: CoId) -> Self {
        Self::new(id)
    }
}

impl<T> From<&Co<T>> for Ref<T> {
    fn from(value: &Co<T>) -> Self {
        value.reference()
    }
}

impl<T> From<Ref<T>> for CoId {
    fn from(reference: Ref<T>) -> Self {
        reference.id
    }
}

impl From<AccountId> for Ref<Account> {
    fn from(id: AccountId) -> Self {
        Self::new(id.into())
    }
}

impl From<Ref<Account>> for AccountId {
    fn from(account: Ref<Account>) -> Self {
        account.id.into()
    }
}

impl<T> FromStr for Ref<T> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self::new)
    }
}

impl<T> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.id.serialize(serializer)
    }
}

impl<'de, T: CoValue> Deserialize<'de> for Ref<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reference = Self::new(CoId::deserialize(deserializer)?);
        Link::of(&reference).found();
        Ok(reference)
    }
}

/// A reference whose type is known by what it leads to.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub id: CoId,
    pub children: fn(&mut cojson::Node, &CoId) -> Result<Vec<Child>, LoadError>,
    /// Checks a value that is here, and brings its content up to date.
    pub settle: fn(&Node, &CoId) -> Result<(), LoadError>,
}

thread_local! {
    /// The references read while somebody collects them. Any type may hold references, at any depth, and serde brings
    /// them all past here; there is no other way to meet them in a type that is not ours.
    static FOUND: RefCell<Option<Vec<Link>>> = const { RefCell::new(None) };
}

impl Link {
    pub fn of<T: CoValue>(reference: &Ref<T>) -> Self {
        let children = |core: &mut cojson::Node, id: &CoId| with_raw::<T, _>(core, id, T::children);
        Self {
            id: reference.id.clone(),
            children,
            settle: |node, id| node.settled(&Ref::<T>::new(id.clone())).map(drop),
        }
    }

    fn found(self) {
        FOUND.with_borrow_mut(|found| {
            if let Some(found) = found {
                found.push(self);
            }
        });
    }

    /// Runs `read` and returns the references that it read with its result.
    pub fn collect<R>(read: impl FnOnce() -> R) -> (R, Vec<Self>) {
        struct Restore(Option<Vec<Link>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FOUND.set(self.0.take());
            }
        }
        let restore = Restore(FOUND.replace(Some(Vec::new())));
        let result = read();
        let found = FOUND.replace(None).unwrap_or_default();
        drop(restore);
        (result, found)
    }
}

/// A value that is loaded, or made by us: a handle that is cheap to clone. Reading gives what the node has now.
pub struct Co<T> {
    node: Node,
    id: CoId,
    owner: CoId,
    of: PhantomData<fn() -> T>,
}

impl<T> Co<T> {
    pub(crate) fn new(node: &Node, id: CoId, owner: CoId) -> Self {
        Self {
            node: node.clone(),
            id,
            owner,
            of: PhantomData,
        }
    }

    /// The id.
    pub fn id(&self) -> &CoId {
        &self.id
    }

    /// A reference to the value, to link to it.
    pub fn reference(&self) -> Ref<T> {
        Ref::new(self.id.clone())
    }

    /// The node that holds it.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The group that owns it; a group and an account own themselves.
    pub fn owner(&self) -> Group {
        Group::new(&self.node, self.owner.clone())
    }

    /// What our account may do with it.
    pub fn my_role(&self) -> Option<Role> {
        self.node.core(|core, _| core.my_role(&self.id))
    }

    /// Deletes it for everybody who hears of it. Only an admin of its group can; groups and accounts stay.
    pub fn delete(&self) -> Result<(), WriteError> {
        self.node.write(|core, cx| core.delete(cx, &self.id))
    }
}

impl<T: CoValue> Co<T> {
    /// What the value is now, then what it becomes: at most one snapshot waits, always the newest, and equal ones are
    /// not repeated. Ends when the node is shut down.
    pub fn subscribe(&self) -> Subscription<T::Snapshot> {
        Subscription::new(self)
    }

    pub(crate) fn read<R>(
        &self,
        read: impl FnOnce(Raw<'_>) -> Result<R, SchemaError>,
    ) -> Result<R, LoadError> {
        self.node.core(|core, _| with_raw::<T, _>(core, &self.id, read))
    }

    /// The content, unless it is the one with this fingerprint.
    pub(crate) fn read_unless(&self, seen: Option<u64>) -> Option<(u64, Result<T::Snapshot, LoadError>)> {
        let read = self.read(|raw| {
            let fingerprint = fingerprint(raw);
            if seen == Some(fingerprint) {
                return Ok(None);
            }
            Ok(Some((
                fingerprint,
                T::snapshot(raw).map_err(|error| error.of(&self.id)),
            )))
        });
        match read {
            Ok(None) => None,
            Ok(Some((fingerprint, snapshot))) => Some((fingerprint, snapshot.map_err(LoadError::from))),
            Err(error) => {
                let fingerprint = crate::subscribe::hash(&error.to_string());
                (seen != Some(fingerprint)).then_some((fingerprint, Err(error)))
            }
        }
    }
}

impl<T> Clone for Co<T> {
    fn clone(&self) -> Self {
        Self::new(&self.node, self.id.clone(), self.owner.clone())
    }
}

impl<T> fmt::Debug for Co<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Co({})", self.id)
    }
}

impl<T> PartialEq for Co<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Co<T> {}

impl<T> Hash for Co<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Who wrote something, and when, as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The author.
    pub by: Author,
    /// The author's claim of the time.
    pub at: Timestamp,
}

impl Edit {
    /// The account that wrote it; an invite has none.
    pub fn account(&self) -> Option<&AccountId> {
        self.by.account()
    }
}

impl From<cojson::content::Edit> for Edit {
    fn from(edit: cojson::content::Edit) -> Self {
        Self {
            by: edit.by,
            at: edit.at.into(),
        }
    }
}
