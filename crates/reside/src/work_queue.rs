//! What is to be done when: keys with a time each, and back-off for those that fail. A key is queued at most once.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// Keys to look at, each at its time.
pub(crate) struct WorkQueue<K> {
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

impl<K: Hash + Eq + Ord + Clone> WorkQueue<K> {
    pub(crate) fn new() -> Self {
        Self {
            due: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    /// Queues the key for now: it changed, so what failed before may not fail again.
    pub(crate) fn changed(&mut self, key: K) {
        self.failures.remove(&key);
        self.due.insert(key, Instant::now());
    }

    /// Queues the key for later, unless it is queued for an earlier time.
    pub(crate) fn after(&mut self, key: K, delay: Duration) {
        let at = Instant::now() + delay;
        self.due
            .entry(key)
            .and_modify(|due| *due = at.min(*due))
            .or_insert(at);
    }

    /// Queues a key that failed, later each time. Returns the delay.
    pub(crate) fn failed(&mut self, key: K) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = BACK_OFF_MIN
            .saturating_mul(1 << (*failures).min(16))
            .min(BACK_OFF_MAX);
        *failures += 1;
        self.after(key, delay);
        delay
    }

    /// Forgets that the key failed.
    pub(crate) fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Takes the keys whose time has come, in their order.
    pub(crate) fn take_due(&mut self) -> Vec<K> {
        let now = Instant::now();
        let mut keys: Vec<K> = self
            .due
            .extract_if(|_, at| *at <= now)
            .map(|(key, _)| key)
            .collect();
        keys.sort();
        keys
    }

    /// Returns when the next key is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_a_change_ends_the_wait() {
        let mut queue = WorkQueue::new();
        queue.changed("a");
        assert_eq!(queue.take_due(), ["a"]);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(queue.failed("a"), Duration::from_secs(seconds));
            assert!(queue.take_due().is_empty());
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(queue.take_due(), ["a"]);
        }
        queue.failed("a");
        queue.changed("a");
        assert_eq!(queue.take_due(), ["a"]);
        assert_eq!(queue.failed("a"), BACK_OFF_MIN);
        queue.succeeded(&"a");
        assert_eq!(queue.failed("a"), BACK_OFF_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_come_when_their_time_has_come() {
        let mut queue = WorkQueue::new();
        queue.after("later", Duration::from_secs(10));
        queue.changed("b");
        queue.changed("a");
        queue.changed("b");
        assert_eq!(queue.take_due(), ["a", "b"]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(queue.take_due(), ["later"]);
        assert_eq!(queue.next(), None);
    }
}
