//! Dates as jazz-tools stores them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in milliseconds since 1970. It is stored as `z.date` is: ISO text such as `2025-06-15T15:06:40.000Z`.
///
/// ```
/// let time = jazz::Timestamp(1_750_000_000_000);
/// assert_eq!(serde_json::to_string(&time)?, r#""2025-06-15T15:06:40.000Z""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time of the system's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    /// Times before 1970 become 1970.
    fn from(time: SystemTime) -> Self {
        let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

impl From<cojson::transaction::Timestamp> for Timestamp {
    fn from(time: cojson::transaction::Timestamp) -> Self {
        Self(time.0)
    }
}

impl From<Timestamp> for cojson::transaction::Timestamp {
    fn from(time: Timestamp) -> Self {
        Self(time.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cojson::transaction::Timestamp(self.0).to_iso())
    }
}

/// The text is no time since 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO time since 1970")]
pub struct ParseTimestampError;

impl std::str::FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| ParseTimestampError)?;
        u64::try_from(time.as_millisecond())
            .map(Self)
            .map_err(|_| ParseTimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"an ISO time since 1970")
        })
    }
}
