//! Transactions: the two shapes, parsed strictly, printed canonically.
//!
//! What is hashed is the canonical text, not the received one. A transaction whose members aren't exactly those of the
//! shape its `privacy` names is refused: a signature doesn't cover `privacy`, so a relay could relabel it otherwise.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::KeyId;
use crate::json::write_string;

/// Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later than everything.
    pub const MAX: Self = Self(u64::MAX);

    /// `2025-06-15T15:06:40.000Z`, as JavaScript's `toISOString`.
    pub fn to_iso(self) -> String {
        let (days, millis) = ((self.0 / 86_400_000) as i64, self.0 % 86_400_000);
        // Days to a date of the Gregorian calendar, counted in 400-year eras that begin on 1 March.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, millis) = (millis / 1000 % 60, millis % 1000);
        let year = if year > 9999 {
            format!("+{year:06}")
        } else {
            format!("{year:04}")
        };
        format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether relays can read a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// Encrypted with a key of the owning group.
    Private,
    /// Signed only; anybody who gets it can read it.
    Trusting,
}

/// One step of a session. Texts are kept as they were written and never serialised anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// Encrypted.
    Private(PrivateTransaction),
    /// In clear.
    Trusting(TrustingTransaction),
}

/// An encrypted transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateTransaction {
    /// The author's claim of when it was made.
    pub made_at: Timestamp,
    /// The key it is encrypted with.
    pub key_used: KeyId,
    /// `encrypted_U…`: the text of an array of changes.
    pub encrypted_changes: Arc<str>,
    /// `encrypted_U…`: the text of an object.
    pub meta: Option<Arc<str>>,
}

/// A transaction in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustingTransaction {
    /// The author's claim of when it was made.
    pub made_at: Timestamp,
    /// JSON text of an array of changes.
    pub changes: Arc<str>,
    /// JSON text of an object.
    pub meta: Option<Arc<str>>,
}

impl Transaction {
    /// The author's claim of when it was made.
    pub fn made_at(&self) -> Timestamp {
        match self {
            Self::Private(tx) => tx.made_at,
            Self::Trusting(tx) => tx.made_at,
        }
    }

    /// Whether it is encrypted.
    pub fn privacy(&self) -> Privacy {
        match self {
            Self::Private(_) => Privacy::Private,
            Self::Trusting(_) => Privacy::Trusting,
        }
    }

    /// What counts towards checkpoints and messages: the bytes of the changes as they travel.
    pub fn size(&self) -> usize {
        match self {
            Self::Private(tx) => tx.encrypted_changes.len(),
            Self::Trusting(tx) => tx.changes.len(),
        }
    }

    /// All bytes of text it holds.
    pub(crate) fn text_bytes(&self) -> usize {
        let meta = match self {
            Self::Private(tx) => &tx.meta,
            Self::Trusting(tx) => &tx.meta,
        };
        self.size() + meta.as_ref().map_or(0, |meta| meta.len())
    }

    /// The text that is hashed.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(self.text_bytes() + 160);
        self.write_canonical(&mut out);
        out
    }

    pub(crate) fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Private(tx) => {
                out.push_str(r#"{"encryptedChanges":"#);
                write_string(out, &tx.encrypted_changes);
                out.push_str(r#","keyUsed":"#);
                write_string(out, tx.key_used.as_str());
                write_common(out, tx.made_at, tx.meta.as_deref(), "private");
            }
            Self::Trusting(tx) => {
                out.push_str(r#"{"changes":"#);
                write_string(out, &tx.changes);
                write_common(out, tx.made_at, tx.meta.as_deref(), "trusting");
            }
        }
    }
}

fn write_common(out: &mut String, made_at: Timestamp, meta: Option<&str>, privacy: &str) {
    out.push_str(r#","madeAt":"#);
    out.push_str(&made_at.0.to_string());
    if let Some(meta) = meta {
        out.push_str(r#","meta":"#);
        write_string(out, meta);
    }
    out.push_str(r#","privacy":""#);
    out.push_str(privacy);
    out.push_str(r#""}"#);
}

impl Serialize for Transaction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Transaction", 5)?;
        let meta = match self {
            Self::Private(tx) => {
                out.serialize_field("privacy", "private")?;
                out.serialize_field("madeAt", &tx.made_at)?;
                out.serialize_field("keyUsed", &tx.key_used)?;
                out.serialize_field("encryptedChanges", &tx.encrypted_changes)?;
                &tx.meta
            }
            Self::Trusting(tx) => {
                out.serialize_field("privacy", "trusting")?;
                out.serialize_field("madeAt", &tx.made_at)?;
                out.serialize_field("changes", &tx.changes)?;
                &tx.meta
            }
        };
        match meta {
            Some(meta) => out.serialize_field("meta", meta)?,
            None => out.skip_field("meta")?,
        }
        out.end()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WirePrivacy {
    Private,
    Trusting,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireTransaction {
    privacy: WirePrivacy,
    made_at: Timestamp,
    #[serde(default, deserialize_with = "present")]
    changes: Option<Arc<str>>,
    #[serde(default, deserialize_with = "present")]
    key_used: Option<KeyId>,
    #[serde(default, deserialize_with = "present")]
    encrypted_changes: Option<Arc<str>>,
    meta: Option<Arc<str>>,
}

/// A member that may be missing but not `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Transaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireTransaction::deserialize(deserializer)?;
        let WireTransaction {
            privacy,
            made_at,
            changes,
            key_used,
            encrypted_changes,
            meta,
        } = wire;
        match (privacy, changes, key_used, encrypted_changes) {
            (WirePrivacy::Private, None, Some(key_used), Some(encrypted_changes)) => {
                Ok(Self::Private(PrivateTransaction {
                    made_at,
                    key_used,
                    encrypted_changes,
                    meta,
                }))
            }
            (WirePrivacy::Trusting, Some(changes), None, None) => Ok(Self::Trusting(TrustingTransaction {
                made_at,
                changes,
                meta,
            })),
            _ => Err(serde::de::Error::custom(
                "members do not fit the privacy of the transaction",
            )),
        }
    }
}
