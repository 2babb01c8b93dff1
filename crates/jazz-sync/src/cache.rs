//! Which values are in memory, what they take, and which of them leave first. The node doesn't know how much memory
//! there is; this does, and has it forget. What storage has can always be read again, even while somebody is
//! subscribed to it.

use std::collections::{HashMap, VecDeque};

use cojson::ids::CoId;
use cojson::log::CoValueLog;
use cojson::message::Content;
use cojson::transaction::Transaction;
use jazz::driver::Driver;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What a value takes besides its transactions: header, maps, dependencies.
const VALUE_BYTES: usize = 1024;
/// What a session takes besides its transactions.
const SESSION_BYTES: usize = 512;
/// How many values are forgotten without letting others use the node.
const FORGOTTEN_AT_ONCE: usize = 64;

/// The values in memory.
pub struct Cache {
    held: Mutex<Held>,
    bytes_max: usize,
    overfull: Notify,
}

#[derive(Default)]
struct Held {
    values: HashMap<CoId, Value>,
    /// Every value once, the next to look at in front.
    order: VecDeque<CoId>,
    bytes: usize,
}

struct Value {
    bytes: usize,
    /// Whether it was used since it was last looked at: a second chance.
    is_used: bool,
}

impl Cache {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            held: Mutex::default(),
            bytes_max,
            overfull: Notify::new(),
        }
    }

    /// Returns about how many bytes all values in memory take.
    pub fn bytes(&self) -> usize {
        self.held.lock().bytes
    }

    /// A client speaks of the value.
    pub fn used(&self, id: &CoId) {
        if let Some(value) = self.held.lock().values.get_mut(id) {
            value.is_used = true;
        }
    }

    /// The value was read from storage.
    pub fn loaded(&self, log: &CoValueLog) {
        let sessions = log.sessions().values().map(|session| session.transactions());
        self.add(log.id(), VALUE_BYTES + sessions.map(session_bytes).sum::<usize>());
    }

    /// The value is new, or has grown by this.
    pub fn grown(&self, content: &Content) {
        let base = if content.header.is_some() { VALUE_BYTES } else { 0 };
        let sessions = content.new.values().map(|new| new.new_transactions.as_slice());
        self.add(&content.id, base + sessions.map(session_bytes).sum::<usize>());
    }

    fn add(&self, id: &CoId, bytes: usize) {
        let mut held = self.held.lock();
        held.bytes += bytes;
        match held.values.get_mut(id) {
            Some(value) => {
                value.bytes += bytes;
                value.is_used = true;
            }
            None => {
                let value = Value {
                    bytes,
                    is_used: false,
                };
                held.values.insert(id.clone(), value);
                held.order.push_back(id.clone());
            }
        }
        if held.bytes > self.bytes_max {
            self.overfull.notify_one();
        }
    }

    /// Has the node forget values whenever they take too much, for ever.
    pub async fn keep_small(&self, driver: &Driver) {
        loop {
            self.overfull.notified().await;
            loop {
                let victims = self.take(FORGOTTEN_AT_ONCE);
                let count = victims.len();
                let in_use = driver.with(|node, _| {
                    let in_use = victims.into_iter().filter(|(id, _)| !node.forget(id));
                    in_use.collect::<Vec<_>>()
                });
                let forgotten = count - in_use.len();
                self.put_back(in_use);
                if forgotten == 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes out values that weren't used for long, as long as there is too much.
    fn take(&self, count: usize) -> Vec<(CoId, Value)> {
        let mut held = self.held.lock();
        let mut taken = Vec::new();
        while taken.len() < count && held.bytes > self.bytes_max {
            let Some(id) = held.order.pop_front() else { break };
            match held.values.get_mut(&id) {
                Some(value) if value.is_used => {
                    value.is_used = false;
                    held.order.push_back(id);
                }
                _ => {
                    if let Some(value) = held.values.remove(&id) {
                        held.bytes -= value.bytes;
                        taken.push((id, value));
                    }
                }
            }
        }
        taken
    }

    fn put_back(&self, values: Vec<(CoId, Value)>) {
        let mut held = self.held.lock();
        for (id, value) in values {
            held.bytes += value.bytes;
            match held.values.get_mut(&id) {
                // It has grown meanwhile.
                Some(newer) => newer.bytes += value.bytes,
                None => {
                    held.values.insert(id.clone(), value);
                    held.order.push_back(id);
                }
            }
        }
    }
}

fn session_bytes(transactions: &[Transaction]) -> usize {
    let texts = transactions.iter().map(Transaction::size).sum::<usize>();
    SESSION_BYTES + size_of_val(transactions) + texts
}
