//! The time of day. Tests that pause tokio's time get a clock that stands still with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jazz::Timestamp;
use tokio::time::Instant;

/// Tells the time of day.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The operating system's clock.
    System,
    /// A clock that was set once and runs with tokio's time, which tests can pause and advance.
    Tokio {
        /// What it showed when it was set.
        set_to: Timestamp,
        /// When it was set.
        set_at: Instant,
    },
}

impl Clock {
    /// Makes a clock that shows the present and runs with tokio's time from now on.
    pub fn tokio() -> Self {
        Self::Tokio {
            set_to: Self::System.now(),
            set_at: Instant::now(),
        }
    }

    /// Returns the time in milliseconds since 1970.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                timestamp(since)
            }
            Self::Tokio { set_to, set_at } => timestamp(Duration::from_millis(set_to.0) + set_at.elapsed()),
        }
    }

    /// Returns how long it takes until then; nothing if it has passed.
    pub fn until(&self, then: Timestamp) -> Duration {
        Duration::from_millis(then.0.saturating_sub(self.now().0))
    }
}

fn timestamp(since_1970: Duration) -> Timestamp {
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
