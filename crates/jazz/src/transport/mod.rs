//! How messages travel: text frames of a WebSocket (protocol, 10).

mod frame;
mod queue;
mod tls;
mod websocket;

pub use frame::{FRAME_BYTES_MAX, Incoming, UnreadableFrame, ping, read_frame};
pub use queue::{Outgoing, OutgoingEnd, OutgoingReceiver, QueueLimits, outgoing};
pub use tls::{Trust, TrustError};
pub use websocket::{Reconnecting, connect};
