//! The messages two peers exchange (protocol, 9.1), decoded strictly and with bounds.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::header::{Header, Kind};
use crate::ids::{CoId, SessionId, ShortHash, Signature};
use crate::limits::{MAX_RECONCILE_VALUES, MAX_SESSIONS};
use crate::log::KnownState;
use crate::transaction::Transaction;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// "I want this value; this is what I have of it."
    Load(KnownState),
    /// "This is what I have of it." Also acknowledges content.
    Known {
        /// What the sender has.
        state: KnownState,
        /// The sender misses something that was sent as if it had it: start again from this state.
        is_correction: bool,
    },
    /// "Here is more of it."
    Content(Box<Content>),
    /// Exists in the format and means nothing.
    Done(CoId),
    /// "Do you have the same as I, of these values?"
    Reconcile {
        /// Names the batch in the answer.
        batch: String,
        /// Values, each with the short hash of its counts.
        values: Vec<(CoId, ShortHash)>,
    },
    /// "Everything in that batch is settled."
    ReconcileAck {
        /// The batch.
        batch: String,
    },
}

/// Transactions of one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The value.
    pub id: CoId,
    /// 0 for groups and accounts, 6 for files, 3 for the rest.
    pub priority: u8,
    /// Present if the receiver isn't known to have it.
    pub header: Option<Header>,
    /// What is new, by session.
    pub new: IndexMap<SessionId, NewContent>,
    /// The counts to expect in the end, on the first of several pieces.
    pub expect_content_until: Option<BTreeMap<SessionId, u64>>,
}

impl Content {
    /// About how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        let sessions = self.new.values();
        size_of::<Self>() + sessions.map(NewContent::size).sum::<usize>()
    }

    /// How many transactions it brings.
    pub fn transaction_count(&self) -> usize {
        self.new.values().map(|new| new.new_transactions.len()).sum()
    }
}

/// Transactions of one session of one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewContent {
    /// How many transactions come before these.
    pub after: u64,
    /// The transactions.
    pub new_transactions: Vec<Transaction>,
    /// The author's signature over all up to the last of these.
    pub last_signature: Signature,
}

impl NewContent {
    fn size(&self) -> usize {
        let texts = self.new_transactions.iter().map(Transaction::text_bytes);
        size_of::<(SessionId, Self)>()
            + self.new_transactions.len() * size_of::<Transaction>()
            + texts.sum::<usize>()
    }
}

/// Why a message can't be understood. Concerns this message alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {action} message: {problem}")]
pub struct MessageError {
    /// What it says it is, as far as it can be read.
    pub action: String,
    /// The value it is about, as far as it can be read.
    pub id: Option<CoId>,
    /// What is wrong.
    pub problem: String,
}

/// The priority of a kind of value: what others depend on goes first, files last.
pub fn priority(kind: Kind) -> u8 {
    match kind {
        Kind::Account | Kind::Group => 0,
        Kind::Binary => 6,
        Kind::Map | Kind::List | Kind::Stream | Kind::PlainText | Kind::Other => 3,
    }
}

impl Message {
    /// Decodes one message. Members that the format doesn't have are ignored.
    ///
    /// ```
    /// use cojson::message::Message;
    /// let text = r#"{"action":"load","id":"co_zJtD4ZYwozugKkhhQ5tnWpjczzs","header":false,"sessions":{}}"#;
    /// assert!(matches!(Message::parse(text), Ok(Message::Load(_))));
    /// ```
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        serde_json::from_str::<Wire>(text)
            .map_err(|error| error.to_string())
            .and_then(Wire::read)
            .map_err(|problem| {
                let about: About = serde_json::from_str(text).unwrap_or_default();
                let text = |value: Value| {
                    value
                        .as_str()
                        .map(|text| text.chars().take(64).collect::<String>())
                };
                MessageError {
                    action: text(about.action).unwrap_or_else(|| "unreadable".to_owned()),
                    id: text(about.id).and_then(|id| id.parse().ok()),
                    problem,
                }
            })
    }

    /// The value it is about, if it is about one.
    pub fn id(&self) -> Option<&CoId> {
        match self {
            Self::Load(state) | Self::Known { state, .. } => Some(&state.id),
            Self::Content(content) => Some(&content.id),
            Self::Done(id) => Some(id),
            Self::Reconcile { .. } | Self::ReconcileAck { .. } => None,
        }
    }

    /// Encodes the message.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has nothing that JSON can't say")
    }

    /// About how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        match self {
            Self::Content(content) => content.size(),
            _ => size_of::<Self>(),
        }
    }

    /// What is sent first when much waits: the smaller, the sooner (protocol, 10).
    pub fn priority(&self) -> u8 {
        match self {
            Self::Content(content) => content.priority,
            Self::Reconcile { .. } => 6,
            _ => 0,
        }
    }
}

/// As much of a malformed message as says what it was about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    action: Value,
    id: Value,
}

/// All members any message may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    action: String,
    id: Option<String>,
    header: Option<Value>,
    sessions: Option<BTreeMap<SessionId, u64>>,
    #[serde(default)]
    is_correction: bool,
    priority: Option<u8>,
    new: Option<IndexMap<SessionId, NewContent>>,
    expect_content_until: Option<BTreeMap<SessionId, u64>>,
    values: Option<Vec<(CoId, ShortHash)>>,
}

impl Wire {
    fn read(mut self) -> Result<Message, String> {
        let action = std::mem::take(&mut self.action);
        match action.as_str() {
            "load" => Ok(Message::Load(self.known_state()?)),
            "known" => {
                let is_correction = self.is_correction;
                Ok(Message::Known {
                    state: self.known_state()?,
                    is_correction,
                })
            }
            "content" => self.content().map(|content| Message::Content(Box::new(content))),
            "done" => Ok(Message::Done(self.co_id()?)),
            "reconcile" => {
                let values = self.values.take().ok_or("values are missing")?;
                if values.len() > MAX_RECONCILE_VALUES {
                    return Err(format!("more than {MAX_RECONCILE_VALUES} values"));
                }
                Ok(Message::Reconcile {
                    batch: self.batch()?,
                    values,
                })
            }
            "reconcile-ack" => Ok(Message::ReconcileAck { batch: self.batch()? }),
            _ => Err("unknown action".to_owned()),
        }
    }

    fn co_id(&self) -> Result<CoId, String> {
        self.id
            .as_deref()
            .ok_or("id is missing")?
            .parse()
            .map_err(|error| format!("id: {error}"))
    }

    fn batch(&self) -> Result<String, String> {
        self.id
            .clone()
            .filter(|id| id.len() <= 64)
            .ok_or_else(|| "id is missing or too long".to_owned())
    }

    fn known_state(&mut self) -> Result<KnownState, String> {
        let header = self
            .header
            .as_ref()
            .and_then(Value::as_bool)
            .ok_or("header is not a boolean")?;
        let sessions = self.sessions.take().ok_or("sessions are missing")?;
        bounded(&sessions)?;
        Ok(KnownState {
            id: self.co_id()?,
            header,
            sessions,
        })
    }

    fn content(mut self) -> Result<Content, String> {
        let id = self.co_id()?;
        let header = match self.header.take() {
            None | Some(Value::Null) => None,
            Some(json) => {
                let header = Header::from_json(json).map_err(|error| error.to_string())?;
                if *header.id() != id {
                    return Err(format!("the header belongs to {}", header.id()));
                }
                Some(header)
            }
        };
        let new = self.new.take().ok_or("new is missing")?;
        if new.len() > MAX_SESSIONS {
            return Err(format!("more than {MAX_SESSIONS} sessions"));
        }
        if let Some(expected) = &self.expect_content_until {
            bounded(expected)?;
        }
        let priority = self.priority.ok_or("priority is missing")?;
        Ok(Content {
            id,
            priority,
            header,
            new,
            expect_content_until: self.expect_content_until,
        })
    }
}

fn bounded(sessions: &BTreeMap<SessionId, u64>) -> Result<(), String> {
    if sessions.len() > MAX_SESSIONS {
        Err(format!("more than {MAX_SESSIONS} sessions"))
    } else {
        Ok(())
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        match self {
            Self::Load(state) => {
                out.serialize_entry("action", "load")?;
                write_state(&mut out, state)?;
            }
            Self::Known { state, is_correction } => {
                out.serialize_entry("action", "known")?;
                if *is_correction {
                    out.serialize_entry("isCorrection", &true)?;
                }
                write_state(&mut out, state)?;
            }
            Self::Content(content) => {
                out.serialize_entry("action", "content")?;
                out.serialize_entry("id", &content.id)?;
                out.serialize_entry("priority", &content.priority)?;
                if let Some(header) = &content.header {
                    out.serialize_entry("header", header)?;
                }
                out.serialize_entry("new", &content.new)?;
                if let Some(expected) = &content.expect_content_until {
                    out.serialize_entry("expectContentUntil", expected)?;
                }
            }
            Self::Done(id) => {
                out.serialize_entry("action", "done")?;
                out.serialize_entry("id", id)?;
            }
            Self::Reconcile { batch, values } => {
                out.serialize_entry("action", "reconcile")?;
                out.serialize_entry("id", batch)?;
                out.serialize_entry("values", values)?;
            }
            Self::ReconcileAck { batch } => {
                out.serialize_entry("action", "reconcile-ack")?;
                out.serialize_entry("id", batch)?;
            }
        }
        out.end()
    }
}

fn write_state<M: serde::ser::SerializeMap>(out: &mut M, state: &KnownState) -> Result<(), M::Error> {
    out.serialize_entry("id", &state.id)?;
    out.serialize_entry("header", &state.header)?;
    out.serialize_entry("sessions", &state.sessions)
}
