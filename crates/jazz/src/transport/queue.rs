//! What waits to be sent to a peer: ordered by priority, bounded in bytes, taken in frames.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cojson::message::Message;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Frames are filled up to about this size.
const FRAME_BYTES: usize = 64 * 1024;

/// Priorities in the order in which they are sent.
const PRIORITIES: [u8; 3] = [0, 3, 6];

/// While less than this waits for a peer, it isn't cut off for what waits for others.
const FAIR_BYTES: usize = 1024 * 1024;

/// A peer that has taken nothing for this long doesn't read. One that does may have more waiting than its bound: a
/// single answer can be longer.
const STALL: Duration = Duration::from_secs(10);

/// Bounds on what may wait to be sent. Queues with clones of it have one bound on all of them together.
#[derive(Clone, Debug)]
pub struct QueueLimits {
    bytes_max: usize,
    total_max: usize,
    total: Arc<AtomicUsize>,
}

impl QueueLimits {
    /// At most `bytes_max` bytes for a peer that doesn't read, and `total_max` for all peers.
    pub fn new(bytes_max: usize, total_max: usize) -> Self {
        Self {
            bytes_max,
            total_max,
            total: Arc::default(),
        }
    }

    /// No bounds: for a node's own writes, which must not be lost.
    pub fn unbounded() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }

    /// Returns how many bytes wait for all peers.
    pub fn waiting_bytes(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

struct Queue {
    lanes: [VecDeque<String>; PRIORITIES.len()],
    bytes: usize,
    /// About the size of what will be sent as soon as storage has done its part.
    announced: usize,
    /// When the peer took something, or when there was nothing to take.
    taken_at: Instant,
    limits: QueueLimits,
    /// Set once nothing more is taken.
    end: Option<OutgoingEnd>,
}

impl Queue {
    fn push(&mut self, lane: usize, text: String) {
        if self.bytes == 0 {
            self.taken_at = Instant::now();
        }
        self.bytes += text.len();
        self.limits.total.fetch_add(text.len(), Ordering::Relaxed);
        self.lanes[lane].push_back(text);
    }

    fn pop(&mut self, lane: usize) -> Option<String> {
        let text = self.lanes[lane].pop_front()?;
        self.bytes -= text.len();
        self.limits.total.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }

    fn clear(&mut self) {
        self.lanes = Default::default();
        self.limits.total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }

    fn is_over(&self) -> bool {
        let limits = &self.limits;
        (self.bytes > limits.bytes_max && self.taken_at.elapsed() > STALL)
            || (self.bytes > FAIR_BYTES && limits.waiting_bytes() > limits.total_max)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
    /// Something was taken, or nothing ever will be.
    shrunk: Notify,
}

/// The end that is written to.
#[derive(Clone)]
pub struct Outgoing(Arc<Shared>);

/// The end that the connection reads from.
pub struct OutgoingReceiver(Arc<Shared>);

/// Why there is nothing more to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingEnd {
    /// The node closed the connection.
    Closed,
    /// The peer doesn't read as fast as it is sent to.
    Overflown,
    /// The node wants nothing to do with the peer any more.
    CutOff(&'static str),
}

/// Makes a queue.
pub fn outgoing(limits: QueueLimits) -> (Outgoing, OutgoingReceiver) {
    let queue = Queue {
        lanes: Default::default(),
        bytes: 0,
        announced: 0,
        taken_at: Instant::now(),
        limits,
        end: None,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        changed: Notify::new(),
        shrunk: Notify::new(),
    });
    (Outgoing(shared.clone()), OutgoingReceiver(shared))
}

impl Outgoing {
    /// Queues a message. When a bound is exceeded, everything is dropped and the connection ends.
    pub fn send(&self, message: &Message) {
        self.push(message, 0);
    }

    /// Counts a message that will be sent later, by [`Outgoing::send_announced`].
    pub fn announce(&self, message: &Message) {
        self.0.queue.lock().announced += message.size();
    }

    /// Queues a message that was announced.
    pub fn send_announced(&self, message: &Message) {
        self.push(message, message.size());
    }

    fn push(&self, message: &Message, announced: usize) {
        let lane = PRIORITIES
            .iter()
            .position(|priority| message.priority() <= *priority)
            .unwrap_or(2);
        let text = message.to_json();
        let mut queue = self.0.queue.lock();
        queue.announced -= announced;
        if queue.end.is_some() {
            return;
        }
        queue.push(lane, text);
        if queue.is_over() {
            queue.clear();
            queue.end = Some(OutgoingEnd::Overflown);
        }
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Waits until at most so many bytes wait for the peer, or the connection has ended.
    pub async fn room(&self, bytes_max: usize) {
        loop {
            let shrunk = self.0.shrunk.notified();
            {
                let queue = self.0.queue.lock();
                if queue.bytes + queue.announced <= bytes_max || queue.end.is_some() {
                    return;
                }
            }
            shrunk.await;
        }
    }

    /// Ends the connection once everything queued is sent.
    pub fn close(&self) {
        self.end(OutgoingEnd::Closed, |_| {});
    }

    /// Ends the connection now.
    pub fn cut_off(&self, reason: &'static str) {
        self.end(OutgoingEnd::CutOff(reason), Queue::clear);
    }

    fn end(&self, end: OutgoingEnd, and: impl FnOnce(&mut Queue)) {
        let mut queue = self.0.queue.lock();
        if queue.end.is_none() {
            queue.end = Some(end);
            and(&mut queue);
        }
        drop(queue);
        self.0.changed.notify_one();
        self.0.shrunk.notify_waiters();
    }
}

impl Drop for OutgoingReceiver {
    fn drop(&mut self) {
        self.sender().end(OutgoingEnd::Closed, Queue::clear);
    }
}

impl OutgoingReceiver {
    /// Returns the other end.
    pub fn sender(&self) -> Outgoing {
        Outgoing(self.0.clone())
    }

    /// Waits for the next frame.
    pub async fn next_frame(&mut self) -> Result<String, OutgoingEnd> {
        loop {
            let changed = self.0.changed.notified();
            match self.take() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => changed.await,
                Err(end) => return Err(end),
            }
        }
    }

    fn take(&self) -> Result<Option<String>, OutgoingEnd> {
        let mut queue = self.0.queue.lock();
        let mut frame = String::new();
        for lane in 0..PRIORITIES.len() {
            while let Some(next) = queue.lanes[lane].front() {
                if !frame.is_empty() && frame.len() + next.len() >= FRAME_BYTES {
                    break;
                }
                let text = queue.pop(lane).expect("looked at above");
                if frame.is_empty() {
                    frame = text;
                } else {
                    frame.push('\n');
                    frame.push_str(&text);
                }
            }
            if !queue.lanes[lane].is_empty() {
                break;
            }
        }
        queue.taken_at = Instant::now();
        let end = queue.end;
        drop(queue);
        self.0.shrunk.notify_waiters();
        match (frame.is_empty(), end) {
            (false, _) => Ok(Some(frame)),
            (true, None) => Ok(None),
            (true, Some(end)) => Err(end),
        }
    }
}
