//! Whether a process may get calls.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::manifest::Probe;

/// Wait before a process that isn't ready yet is probed again; grows to a second.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Probes for as long as it is polled; `tell` hears of every change. `port` translates a container's port.
pub async fn watch(probe: Option<Probe>, port: impl Fn(u16) -> u16, mut tell: impl FnMut(bool)) {
    let Some(probe) = probe else {
        tell(true);
        return std::future::pending().await;
    };
    let mut wait = FIRST_WAIT;
    let (mut ready, mut failures) = (false, 0);
    loop {
        let succeeded = timeout(PROBE_TIMEOUT, once(&probe, &port)).await.unwrap_or(false);
        failures = if succeeded { 0 } else { failures + 1 };
        let now_ready = succeeded || (ready && failures < probe.failure_threshold);
        if now_ready != ready {
            ready = now_ready;
            wait = FIRST_WAIT;
            tell(ready);
        }
        if ready {
            sleep(Duration::from_secs(probe.period_seconds.max(1))).await;
        } else {
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
    }
}

async fn once(probe: &Probe, port: impl Fn(u16) -> u16) -> bool {
    match (&probe.http_get, &probe.tcp_socket) {
        (Some(get), _) => http_get(port(get.port), &get.path).await.unwrap_or(false),
        (None, Some(socket)) => TcpStream::connect(("127.0.0.1", port(socket.port))).await.is_ok(),
        (None, None) => true,
    }
}

async fn http_get(port: u16, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.1 2") || status.starts_with(b"HTTP/1.1 3"))
}
