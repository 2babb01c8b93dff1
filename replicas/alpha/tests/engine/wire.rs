//! A connection to the sync server that can be cut after any number of messages: what the server has then is what a
//! killed process leaves behind.

use std::sync::Arc;

use cojson::sync::{PeerId, PeerRole};
use jazz::transport::QueueLimits;
use jazz::{LocalServer, Node};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The connection of one node.
pub struct Wire {
    server: LocalServer,
    server_end: PeerId,
    pumps: [JoinHandle<()>; 2],
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Messages with content that may still pass; `None`: all.
    left: Mutex<Option<usize>>,
    cut: Notify,
}

impl Wire {
    /// Replaces the connection that a node was started with.
    pub fn replace(node: &Node, server: &LocalServer) -> Self {
        let (client, central) = (node.driver().clone(), server.driver().clone());
        let (client_end, mut to_server) = client.add_peer(PeerRole::Server, QueueLimits::unbounded());
        let (server_end, mut to_client) = central.add_peer(PeerRole::Client, QueueLimits::unbounded());
        client.remove_peer(PeerId(client_end.0 - 1));
        let state = Arc::new(State::default());
        let gate = state.clone();
        let up = tokio::spawn(async move {
            while let Ok(frame) = to_server.next_frame().await {
                for message in frame.lines() {
                    let changes_something = message.contains(r#""action":"content""#);
                    if changes_something && !gate.pass() {
                        gate.cut.notify_one();
                        return;
                    }
                    central.receive_frame(server_end, message);
                }
            }
        });
        let weak = client.downgrade();
        let down = tokio::spawn(async move {
            while let Ok(frame) = to_client.next_frame().await {
                if let Some(client) = weak.upgrade() {
                    client.receive_frame(client_end, &frame);
                }
            }
        });
        Self {
            server: server.clone(),
            server_end,
            pumps: [up, down],
            state,
        }
    }

    /// Lets so many messages with content to the server pass, then none.
    pub fn cut_after(&self, messages: usize) {
        *self.state.left.lock() = Some(messages);
    }

    /// Waits until a message was held back.
    pub async fn cut(&self) {
        self.state.cut.notified().await;
    }
}

impl State {
    fn pass(&self) -> bool {
        match &mut *self.left.lock() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for pump in &self.pumps {
            pump.abort();
        }
        self.server.driver().remove_peer(self.server_end);
    }
}
