//! Headers: what a CoValue is, who owns it, and by both its id.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::Entropy;
use crate::ids::{AgentId, Author, CoId, encode};
use crate::json::stable_stringify;
use crate::limits::MAX_HEADER_BYTES;
use crate::transaction::Timestamp;

/// The first, immutable part of a CoValue. Its id is a hash of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    value_type: ValueType,
    ruleset: Ruleset,
    meta: Option<Map<String, Value>>,
    created_at: CreatedAt,
    uniqueness: Uniqueness,
    id: CoId,
}

/// How the content of a CoValue is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Keys with one value each.
    CoMap,
    /// An ordered list.
    CoList,
    /// A feed per session.
    CoStream,
    /// A list of graphemes.
    CoPlainText,
    /// Something newer than this code: stored and served, shows no content.
    Other(Arc<str>),
}

/// Who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruleset {
    /// The value is itself a group (or an account) and says so in its content.
    Group {
        /// Who may make the first transaction.
        initial_admin: Author,
    },
    /// The members of a group.
    OwnedByGroup {
        /// The group.
        group: CoId,
        /// Whether only admins and managers may delete list items.
        restrict_deletion: Option<bool>,
    },
    /// Anybody.
    UnsafeAllowAll,
}

/// When a CoValue was made. Absent and `null` give different ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedAt {
    /// No member at all: values with deterministic ids.
    Absent,
    /// `null`: accounts.
    Null,
    /// ISO text with milliseconds.
    Iso(Arc<str>),
}

/// What tells apart values with otherwise equal headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uniqueness {
    /// Random or chosen text.
    Text(Arc<str>),
    /// A truth value.
    Bool(bool),
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Names with texts.
    Object(BTreeMap<String, String>),
}

impl Uniqueness {
    /// New random text.
    pub fn random(rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 12];
        rng.fill(&mut bytes);
        Self::Text(encode("z", &bytes).into())
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(&**text),
            Self::Bool(value) => Value::from(*value),
            Self::Null => Value::Null,
            Self::Integer(value) => Value::from(*value),
            Self::Object(members) => json!(members),
        }
    }

    fn from_json(value: Value) -> Option<Self> {
        Some(match value {
            Value::String(text) => Self::Text(text.into()),
            Value::Bool(value) => Self::Bool(value),
            Value::Null => Self::Null,
            Value::Number(number) => Self::Integer(number.as_i64()?),
            Value::Object(members) => {
                let text = |(key, value)| match value {
                    Value::String(value) => Some((key, value)),
                    _ => None,
                };
                Self::Object(members.into_iter().map(text).collect::<Option<_>>()?)
            }
            Value::Array(_) => return None,
        })
    }
}

impl From<String> for Uniqueness {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<BTreeMap<String, String>> for Uniqueness {
    fn from(members: BTreeMap<String, String>) -> Self {
        Self::Object(members)
    }
}

impl From<&String> for Uniqueness {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for Uniqueness {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// What kind of value a header makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An account: a group of one agent.
    Account,
    /// A group.
    Group,
    /// A map.
    Map,
    /// A list.
    List,
    /// A feed.
    Stream,
    /// Bytes in chunks.
    Binary,
    /// Text.
    PlainText,
    /// Unknown.
    Other,
}

/// Why a header is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A member is missing, unknown, or of the wrong kind.
    #[error("malformed header: {0}")]
    Malformed(String),
    /// More than [`MAX_HEADER_BYTES`] of text.
    #[error("header of {0} bytes is too large")]
    TooLarge(usize),
}

impl Header {
    /// A header of these parts.
    pub fn new(
        value_type: ValueType,
        ruleset: Ruleset,
        meta: Option<Map<String, Value>>,
        created_at: CreatedAt,
        uniqueness: Uniqueness,
    ) -> Self {
        let json = parts_to_json(&value_type, &ruleset, meta.as_ref(), &created_at, &uniqueness);
        let id = CoId::from_digest(&blake3::hash(stable_stringify(&json).as_bytes()));
        Self {
            value_type,
            ruleset,
            meta,
            created_at,
            uniqueness,
            id,
        }
    }

    /// The account of an agent. There is exactly one.
    pub fn account(agent: &AgentId) -> Self {
        let meta = Map::from_iter([("type".to_owned(), Value::from("account"))]);
        let ruleset = Ruleset::Group {
            initial_admin: agent.clone().into(),
        };
        Self::new(
            ValueType::CoMap,
            ruleset,
            Some(meta),
            CreatedAt::Null,
            Uniqueness::Null,
        )
    }

    /// A new group.
    pub fn group(initial_admin: Author, name: Option<&str>, now: Timestamp, rng: &mut dyn Entropy) -> Self {
        let meta = name.map(|name| Map::from_iter([("name".to_owned(), Value::from(name))]));
        let created_at = CreatedAt::Iso(now.to_iso().into());
        let ruleset = Ruleset::Group { initial_admin };
        Self::new(
            ValueType::CoMap,
            ruleset,
            meta,
            created_at,
            Uniqueness::random(rng),
        )
    }

    /// A new value owned by `group`.
    pub fn owned(
        value_type: ValueType,
        group: CoId,
        meta: Option<Map<String, Value>>,
        now: Timestamp,
        rng: &mut dyn Entropy,
    ) -> Self {
        let created_at = CreatedAt::Iso(now.to_iso().into());
        let ruleset = Ruleset::OwnedByGroup {
            group,
            restrict_deletion: None,
        };
        Self::new(value_type, ruleset, meta, created_at, Uniqueness::random(rng))
    }

    /// The value of `group` that everybody can find by `uniqueness`.
    pub fn unique(
        value_type: ValueType,
        group: CoId,
        meta: Option<Map<String, Value>>,
        uniqueness: Uniqueness,
    ) -> Self {
        let ruleset = Ruleset::OwnedByGroup {
            group,
            restrict_deletion: None,
        };
        Self::new(value_type, ruleset, meta, CreatedAt::Absent, uniqueness)
    }

    /// Reads a header of the wire, strictly: anything it doesn't know would change the id.
    pub fn from_json(json: Value) -> Result<Self, HeaderError> {
        let malformed = |message: &str| HeaderError::Malformed(message.to_owned());
        let wire: WireHeader =
            serde_json::from_value(json).map_err(|error| HeaderError::Malformed(error.to_string()))?;
        let meta = match wire.meta {
            Value::Null => None,
            Value::Object(meta) if meta.values().all(is_portable) => Some(meta),
            _ => return Err(malformed("meta is neither null nor an object of portable values")),
        };
        let created_at = match wire.created_at {
            None => CreatedAt::Absent,
            Some(None) => CreatedAt::Null,
            Some(Some(text)) => CreatedAt::Iso(text.into()),
        };
        let uniqueness = Uniqueness::from_json(wire.uniqueness).ok_or(malformed("uniqueness"))?;
        let ruleset = wire.ruleset.parse().ok_or(malformed("ruleset"))?;
        let value_type = ValueType::from(&*wire.value_type);
        let json = parts_to_json(&value_type, &ruleset, meta.as_ref(), &created_at, &uniqueness);
        let text = stable_stringify(&json);
        if text.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLarge(text.len()));
        }
        let id = CoId::from_digest(&blake3::hash(text.as_bytes()));
        Ok(Self {
            value_type,
            ruleset,
            meta,
            created_at,
            uniqueness,
            id,
        })
    }

    /// The header as it travels.
    pub fn to_json(&self) -> Value {
        let Self {
            value_type,
            ruleset,
            meta,
            created_at,
            uniqueness,
            ..
        } = self;
        parts_to_json(value_type, ruleset, meta.as_ref(), created_at, uniqueness)
    }

    /// The id that follows from the header.
    pub fn id(&self) -> &CoId {
        &self.id
    }

    /// How the content is read.
    pub fn value_type(&self) -> &ValueType {
        &self.value_type
    }

    /// Who may write.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Free facts about the value; public, even where the content is private.
    pub fn meta(&self) -> Option<&Map<String, Value>> {
        self.meta.as_ref()
    }

    /// When it was made.
    pub fn created_at(&self) -> &CreatedAt {
        &self.created_at
    }

    /// What tells it apart.
    pub fn uniqueness(&self) -> &Uniqueness {
        &self.uniqueness
    }

    /// The kind of value.
    pub fn kind(&self) -> Kind {
        let is_group = matches!(self.ruleset, Ruleset::Group { .. });
        match &self.value_type {
            ValueType::CoMap if is_group && self.meta_text("type") == Some("account") => Kind::Account,
            ValueType::CoMap if is_group => Kind::Group,
            ValueType::CoMap => Kind::Map,
            ValueType::CoList => Kind::List,
            ValueType::CoStream if self.meta_text("type") == Some("binary") => Kind::Binary,
            ValueType::CoStream => Kind::Stream,
            ValueType::CoPlainText => Kind::PlainText,
            ValueType::Other(_) => Kind::Other,
        }
    }

    /// The owning group, of values that have one.
    pub fn owner(&self) -> Option<&CoId> {
        match &self.ruleset {
            Ruleset::OwnedByGroup { group, .. } => Some(group),
            _ => None,
        }
    }

    /// The agent, of an account.
    pub fn agent(&self) -> Option<&AgentId> {
        match (&self.ruleset, self.kind()) {
            (
                Ruleset::Group {
                    initial_admin: Author::Agent(agent),
                },
                Kind::Account,
            ) => Some(agent),
            _ => None,
        }
    }

    /// The value this one branches off.
    pub fn source(&self) -> Option<CoId> {
        self.meta_text("source")?.parse().ok()
    }

    fn meta_text(&self, key: &str) -> Option<&str> {
        self.meta.as_ref()?.get(key)?.as_str()
    }
}

fn parts_to_json(
    value_type: &ValueType,
    ruleset: &Ruleset,
    meta: Option<&Map<String, Value>>,
    created_at: &CreatedAt,
    uniqueness: &Uniqueness,
) -> Value {
    let mut json = Map::new();
    json.insert("type".to_owned(), value_type.as_str().into());
    json.insert("ruleset".to_owned(), ruleset.to_json());
    json.insert(
        "meta".to_owned(),
        meta.map_or(Value::Null, |meta| Value::Object(meta.clone())),
    );
    match created_at {
        CreatedAt::Absent => {}
        CreatedAt::Null => drop(json.insert("createdAt".to_owned(), Value::Null)),
        CreatedAt::Iso(text) => drop(json.insert("createdAt".to_owned(), Value::from(&**text))),
    }
    json.insert("uniqueness".to_owned(), uniqueness.to_json());
    Value::Object(json)
}

/// Other implementations print numbers from 1e21 on differently, so no two would agree on the id.
fn is_portable(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|n| n.abs() < 1e21),
        Value::Array(items) => items.iter().all(is_portable),
        Value::Object(members) => members.values().all(is_portable),
        _ => true,
    }
}

impl ValueType {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::CoMap => "comap",
            Self::CoList => "colist",
            Self::CoStream => "costream",
            Self::CoPlainText => "coplaintext",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for ValueType {
    fn from(name: &str) -> Self {
        match name {
            "comap" => Self::CoMap,
            "colist" => Self::CoList,
            "costream" => Self::CoStream,
            "coplaintext" => Self::CoPlainText,
            other => Self::Other(other.into()),
        }
    }
}

impl Ruleset {
    fn to_json(&self) -> Value {
        match self {
            Self::Group { initial_admin } => json!({"type": "group", "initialAdmin": initial_admin}),
            Self::OwnedByGroup {
                group,
                restrict_deletion: None,
            } => {
                json!({"type": "ownedByGroup", "group": group})
            }
            Self::OwnedByGroup {
                group,
                restrict_deletion: Some(restrict),
            } => {
                json!({"type": "ownedByGroup", "group": group, "restrictDeletion": restrict})
            }
            Self::UnsafeAllowAll => json!({"type": "unsafeAllowAll"}),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireHeader {
    #[serde(rename = "type")]
    value_type: String,
    ruleset: WireRuleset,
    meta: Value,
    #[serde(default, deserialize_with = "present")]
    created_at: Option<Option<String>>,
    uniqueness: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireRuleset {
    #[serde(rename = "type")]
    ruleset_type: String,
    initial_admin: Option<Author>,
    group: Option<CoId>,
    restrict_deletion: Option<bool>,
}

impl WireRuleset {
    fn parse(self) -> Option<Ruleset> {
        match (
            &*self.ruleset_type,
            self.initial_admin,
            self.group,
            self.restrict_deletion,
        ) {
            ("group", Some(initial_admin), None, None) => Some(Ruleset::Group { initial_admin }),
            ("ownedByGroup", None, Some(group), restrict_deletion) => Some(Ruleset::OwnedByGroup {
                group,
                restrict_deletion,
            }),
            ("unsafeAllowAll", None, None, None) => Some(Ruleset::UnsafeAllowAll),
            _ => None,
        }
    }
}

/// Tells a missing member (`None`) from `null` (`Some(None)`).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
