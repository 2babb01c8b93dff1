//! What waits to be sent to a peer: ordered by priority, bounded in bytes, taken in frames.

use std::collections::VecDeque;
use std::sync::Arc;

use cojson::message::Message;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Frames are filled up to about this size.
const FRAME_BYTES: usize = 64 * 1024;

/// Priorities in the order in which they are sent.
const PRIORITIES: [u8; 3] = [0, 3, 6];

struct Queue {
    lanes: [VecDeque<String>; PRIORITIES.len()],
    bytes: usize,
    bytes_max: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Overflown,
    Closed,
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
}

/// Makes a queue that holds at most so many bytes.
pub fn outgoing(bytes_max: usize) -> (Outgoing, OutgoingReceiver) {
    let queue = Queue {
        lanes: Default::default(),
        bytes: 0,
        bytes_max,
        state: State::Open,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        changed: Notify::new(),
        shrunk: Notify::new(),
    });
    (Outgoing(shared.clone()), OutgoingReceiver(shared))
}

impl Outgoing {
    /// Queues a message. When the bound is exceeded, everything is dropped and the connection ends.
    pub fn send(&self, message: &Message) {
        let lane = PRIORITIES
            .iter()
            .position(|priority| message.priority() <= *priority)
            .unwrap_or(2);
        let text = message.to_json();
        let mut queue = self.0.queue.lock();
        if queue.state != State::Open {
            return;
        }
        queue.bytes += text.len();
        if queue.bytes > queue.bytes_max {
            queue.lanes = Default::default();
            queue.bytes = 0;
            queue.state = State::Overflown;
        } else {
            queue.lanes[lane].push_back(text);
        }
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Waits until at most so many bytes are queued, or the connection has ended.
    pub async fn room(&self, bytes_max: usize) {
        loop {
            let shrunk = self.0.shrunk.notified();
            if self.0.queue.lock().bytes <= bytes_max {
                return;
            }
            shrunk.await;
        }
    }

    /// Ends the connection once everything queued is sent.
    pub fn close(&self) {
        let mut queue = self.0.queue.lock();
        if queue.state == State::Open {
            queue.state = State::Closed;
        }
        drop(queue);
        self.0.changed.notify_one();
    }
}

impl Drop for OutgoingReceiver {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.lanes = Default::default();
        queue.bytes = 0;
        queue.state = State::Closed;
        drop(queue);
        self.0.shrunk.notify_waiters();
    }
}

impl OutgoingReceiver {
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
        self.0.shrunk.notify_waiters();
        let mut frame = String::new();
        for lane in 0..PRIORITIES.len() {
            while let Some(text) = queue.lanes[lane].front() {
                if !frame.is_empty() && frame.len() + text.len() >= FRAME_BYTES {
                    return Ok(Some(frame));
                }
                let text = queue.lanes[lane].pop_front().expect("looked at above");
                queue.bytes -= text.len();
                if frame.is_empty() {
                    frame = text;
                } else {
                    frame.push('\n');
                    frame.push_str(&text);
                }
            }
        }
        match (frame.is_empty(), queue.state) {
            (false, _) => Ok(Some(frame)),
            (true, State::Open) => Ok(None),
            (true, State::Closed) => Err(OutgoingEnd::Closed),
            (true, State::Overflown) => Err(OutgoingEnd::Overflown),
        }
    }
}
