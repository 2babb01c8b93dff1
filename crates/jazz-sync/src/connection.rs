//! One client's connection.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use cojson::sync::PeerRole;
use futures::{SinkExt as _, StreamExt as _};
use jazz::driver::{Driver, now};
use jazz::transport::{OutgoingEnd, ping};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Clients take ten seconds of silence for a broken connection.
const PING_INTERVAL: Duration = Duration::from_millis(1500);
/// How long a client may take to read one frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a client until it leaves, stops reading, or the server stops.
pub async fn run(socket: WebSocket, driver: &Driver, queue_bytes_max: usize, stopping: &CancellationToken) {
    let (mut sink, mut stream) = socket.split();
    let (peer, mut outgoing) = driver.add_peer(PeerRole::Client, queue_bytes_max);
    let reading = async {
        while let Some(Ok(frame)) = stream.next().await {
            driver.room().await;
            match frame {
                Message::Text(text) => driver.receive_frame(peer, &text),
                Message::Close(_) => break,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    };
    let writing = async {
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let frame = tokio::select! {
                frame = outgoing.next_frame() => frame,
                _ = pings.tick() => Ok(ping(now().0)),
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(OutgoingEnd::Overflown) => return Some((close_code::POLICY, "you read too slowly")),
                Err(OutgoingEnd::Closed) => return Some((close_code::AWAY, "the server stops")),
            };
            match tokio::time::timeout(WRITE_TIMEOUT, sink.send(Message::text(frame))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((close_code::POLICY, "you read too slowly")),
            }
        }
    };
    let farewell = tokio::select! {
        () = reading => None,
        farewell = writing => farewell,
        () = stopping.cancelled() => Some((close_code::AWAY, "the server stops")),
    };
    driver.remove_peer(peer);
    if let Some((code, reason)) = farewell {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        let _ = tokio::time::timeout(Duration::from_secs(1), sink.send(close)).await;
    }
}
