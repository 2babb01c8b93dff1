//! The client's end of a WebSocket: connects, connects again when the connection breaks.

use std::time::Duration;

use cojson::sync::PeerRole;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};

use super::{FRAME_BYTES_MAX, QueueLimits, Trust};
use crate::driver::Driver;

/// A server sends a sign of life at least every few seconds; this long without one means that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait before the first attempt to connect again; each further failure adds as much.
const RETRY_STEP: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A connection that is kept up until this is dropped.
pub struct Reconnecting(tokio::task::JoinHandle<()>);

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps a node connected to the sync server at a `ws://` or `wss://` address.
pub fn connect(driver: &Driver, url: String, trust: Trust) -> Reconnecting {
    let driver = driver.downgrade();
    Reconnecting(tokio::spawn(async move {
        let mut failures = 0;
        while let Some(driver) = driver.upgrade() {
            match run(driver, &url, &trust).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(
                        url,
                        error = &error as &dyn std::error::Error,
                        "no connection to the sync server"
                    );
                    failures += 1;
                }
            }
            tokio::time::sleep((RETRY_STEP * failures.max(1)).min(RETRY_MAX)).await;
        }
    }))
}

/// Runs one connection. An error means that not a single frame arrived.
async fn run(driver: Driver, url: &str, trust: &Trust) -> Result<(), tungstenite::Error> {
    let request = url.into_client_request()?;
    let uri = request.uri();
    let is_tls = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let stream = timeout_at(deadline, TcpStream::connect((host.as_str(), port)))
        .await
        .map_err(|_| timed_out())??;
    // A message must not wait until the one before it is acknowledged.
    stream.set_nodelay(true)?;
    if !is_tls {
        let upgrading = client_async_with_config(request, stream, Some(config));
        let (socket, _) = timeout_at(deadline, upgrading).await.map_err(|_| timed_out())??;
        return talk(driver, socket).await;
    }
    let connecting = async {
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(trust.config()).connect(name, stream).await?;
        client_async_with_config(request, stream, Some(config)).await
    };
    let (socket, _) = timeout_at(deadline, connecting)
        .await
        .map_err(|_| timed_out())??;
    talk(driver, socket).await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    driver: Driver,
    socket: WebSocketStream<S>,
) -> Result<(), tungstenite::Error> {
    let (mut sink, mut stream) = socket.split();
    let (peer, mut outgoing) = driver.add_peer(PeerRole::Server, QueueLimits::unbounded());
    let driver = driver.downgrade();
    let writing = async {
        while let Ok(frame) = outgoing.next_frame().await {
            sink.send(tungstenite::Message::text(frame)).await?;
        }
        sink.close().await
    };
    let reading = async {
        let mut wait = CONNECT_TIMEOUT;
        while let Ok(Some(frame)) = timeout(wait, stream.next()).await {
            wait = SILENCE_MAX;
            let Some(room) = driver.upgrade().map(|driver| driver.room()) else {
                break;
            };
            room.await;
            let Some(driver) = driver.upgrade() else { break };
            match frame? {
                tungstenite::Message::Text(text) => driver.receive_frame(peer, &text),
                tungstenite::Message::Close(_) => break,
                _ => {}
            }
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = writing => ended,
        ended = reading => ended,
    };
    if let Some(driver) = driver.upgrade() {
        driver.remove_peer(peer);
    }
    ended
}

fn timed_out() -> tungstenite::Error {
    tungstenite::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut))
}
