//! Where a sync server is, and whether anybody is there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that doesn't accept a connection by then is not there.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The address of a sync server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncServer(http::Uri);

/// The text is no address of a sync server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of a sync server is `ws://HOST[:PORT]` or `wss://HOST[:PORT]`")]
pub struct InvalidAddress;

impl SyncServer {
    /// The sync server behind the endpoint of a cluster.
    pub fn of_cluster(endpoint: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
        let scheme = if scheme == "https" { "wss" } else { "ws" };
        format!("{scheme}://{}/", rest.trim_end_matches('/')).parse()
    }

    /// Finds out at once whether anybody is there, instead of waiting for data in vain. Gives the reason if not.
    pub async fn reach(&self) -> Result<(), String> {
        let host = self.0.host().unwrap_or_default().trim_matches(['[', ']']);
        let port_default = if self.0.scheme_str() == Some("wss") {
            443
        } else {
            80
        };
        let port = self.0.port_u16().unwrap_or(port_default);
        match timeout(CONNECT_TIME, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {} seconds", CONNECT_TIME.as_secs())),
        }
    }
}

impl FromStr for SyncServer {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidAddress)?;
        let is_websocket = matches!(uri.scheme_str(), Some("ws" | "wss"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        (is_websocket && has_host)
            .then_some(Self(uri))
            .ok_or(InvalidAddress)
    }
}

impl fmt::Display for SyncServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sync_server_of_a_cluster_is_behind_its_endpoint() {
        let of = |endpoint| SyncServer::of_cluster(endpoint).unwrap().to_string();
        assert_eq!(of("http://127.0.0.1:80"), "ws://127.0.0.1:80/");
        assert_eq!(of("https://reside.example/"), "wss://reside.example/");
        assert_eq!(of("127.0.0.1:80"), "ws://127.0.0.1:80/");
        assert_eq!(SyncServer::of_cluster("http://"), Err(InvalidAddress));
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for text in ["ws://localhost:4200", "wss://[::1]/jazz", "ws://a"] {
            assert!(text.parse::<SyncServer>().is_ok(), "{text}");
        }
        for text in ["", "localhost:4200", "http://a", "ws://", "ws://:80", "ws:a b"] {
            assert_eq!(text.parse::<SyncServer>(), Err(InvalidAddress), "{text}");
        }
    }
}
