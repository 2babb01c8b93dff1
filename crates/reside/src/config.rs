//! The environment of a replica. All variables are listed here; all problems are named at once.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use cojson::secrets::AgentSecret;
use jazz::{AccountId, CoId, Credentials};

/// Id of the replica's control block.
pub const CONTROL_BLOCK_ID: &str = "RESIDE_CONTROL_BLOCK_ID";
/// Id of the replica's Jazz account.
pub const ACCOUNT_ID: &str = "RESIDE_ACCOUNT_ID";
/// Secret of the account's agent.
pub const AGENT_SECRET: &str = "RESIDE_AGENT_SECRET";
/// WebSocket URL of the sync server.
pub const SYNC_SERVER_URL: &str = "RESIDE_SYNC_SERVER_URL";
/// Where others inside the cluster reach the replica.
pub const INTERNAL_ENDPOINT: &str = "RESIDE_INTERNAL_ENDPOINT";
/// Where others outside the cluster reach the replica.
pub const EXTERNAL_ENDPOINT: &str = "RESIDE_EXTERNAL_ENDPOINT";
/// Which of a callee's endpoints to use: `internal` (default) or `external`.
pub const ACCESS_CONTEXT: &str = "RESIDE_ACCESS_CONTEXT";
/// Comma-separated hosts of etcd, which keeps the locks.
pub const ETCD_HOSTS: &str = "RESIDE_ETCD_HOSTS";
/// Unix socket of the lock service of a single machine.
pub const LOCK_SOCKET: &str = "RESIDE_LOCK_SOCKET";
/// Address of the replica's HTTP server; all addresses of the machine if absent.
pub const LISTEN_HOST: &str = "RESIDE_LISTEN_HOST";
/// Port of the replica's HTTP server; 8080 if absent, any that is free if 0.
pub const LISTEN_PORT: &str = "RESIDE_LISTEN_PORT";
/// Filter of the log, e.g. `info,reside=debug`.
pub const LOG: &str = "RESIDE_LOG";
/// Form of the log: `json` or `pretty` (default).
pub const LOG_FORMAT: &str = "RESIDE_LOG_FORMAT";

const LISTEN_PORT_DEFAULT: u16 = 8080;

/// What a replica is told from outside.
pub struct Config {
    /// Id of its control block.
    pub control_block: CoId,
    /// Its account.
    pub credentials: Credentials,
    /// WebSocket URL of the sync server.
    pub sync_server_url: String,
    /// How it is reached and reaches others.
    pub network: NetworkConfig,
    /// Where its HTTP server listens.
    pub listen: SocketAddr,
    /// Hosts of etcd, which keeps the locks of a cluster of machines.
    pub etcd_hosts: Vec<String>,
    /// Unix socket of the lock service of a single machine.
    pub lock_socket: Option<PathBuf>,
}

/// How a replica is reached and reaches others.
#[derive(Clone, Debug, Default)]
pub struct NetworkConfig {
    /// Where others inside the cluster reach it.
    pub internal_endpoint: Option<String>,
    /// Where others outside the cluster reach it.
    pub external_endpoint: Option<String>,
    /// Which of a callee's endpoints to use.
    pub access_context: AccessContext,
}

/// Which of a callee's endpoints to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessContext {
    /// From inside the cluster.
    #[default]
    Internal,
    /// From outside.
    External,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For programs.
    Json,
}

/// Everything that is wrong with the environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment is not complete: {}", self.0.join("; "))
    }
}

impl ConfigError {
    /// Adds other problems to these.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl FromStr for AccessContext {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "internal" => Ok(Self::Internal),
            "external" => Ok(Self::External),
            _ => Err("expected `internal` or `external`"),
        }
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("expected `json` or `pretty`"),
        }
    }
}

impl Config {
    /// Reads the environment of the process.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads an environment from wherever it is kept. An empty variable counts as absent.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut vars = Vars {
            lookup,
            problems: Vec::new(),
        };
        let control_block = vars.required::<CoId>(CONTROL_BLOCK_ID);
        let account_id = vars.required::<AccountId>(ACCOUNT_ID);
        let agent_secret = vars.secret(AGENT_SECRET);
        let sync_server_url = vars.required::<WebSocketUrl>(SYNC_SERVER_URL);
        let network = NetworkConfig {
            internal_endpoint: vars.optional::<HttpUrl>(INTERNAL_ENDPOINT).map(|url| url.0),
            external_endpoint: vars.optional::<HttpUrl>(EXTERNAL_ENDPOINT).map(|url| url.0),
            access_context: vars.optional(ACCESS_CONTEXT).unwrap_or_default(),
        };
        let etcd_hosts = vars.list(ETCD_HOSTS);
        let lock_socket = vars.get(LOCK_SOCKET).map(PathBuf::from);
        let listen_host = vars
            .optional(LISTEN_HOST)
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let listen_port = vars.optional(LISTEN_PORT).unwrap_or(LISTEN_PORT_DEFAULT);
        match (control_block, account_id, agent_secret, sync_server_url) {
            (Some(control_block), Some(account_id), Some(agent_secret), Some(url))
                if vars.problems.is_empty() =>
            {
                let credentials = Credentials {
                    account_id,
                    agent_secret,
                };
                Ok(Self {
                    control_block,
                    credentials,
                    sync_server_url: url.0,
                    network,
                    listen: (listen_host, listen_port).into(),
                    etcd_hosts,
                    lock_socket,
                })
            }
            _ => Err(ConfigError(vars.problems)),
        }
    }
}

/// A `ws://` or `wss://` URL.
struct WebSocketUrl(String);

impl FromStr for WebSocketUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let has_host = |scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
        let valid = has_host("ws://") || has_host("wss://");
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a URL with `ws://` or `wss://`")
        }
    }
}

/// An `http://` or `https://` URL, without a slash at its end.
struct HttpUrl(String);

impl FromStr for HttpUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let has_host = |scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
        let valid = has_host("http://") || has_host("https://");
        let url = text.trim_end_matches('/').to_owned();
        if valid {
            Ok(Self(url))
        } else {
            Err("expected a URL with `http://` or `https://`")
        }
    }
}

struct Vars<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Vars<L> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        match self.get(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(format!("{name} is not valid: {error}"));
                None
            }
        }
    }

    fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        if self.get(name).is_none() {
            self.problems.push(format!("{name} is missing"));
        }
        self.optional(name)
    }

    /// As [`Self::required`], but what is wrong with a secret is nobody's business.
    fn secret(&mut self, name: &str) -> Option<AgentSecret> {
        let Some(text) = self.get(name) else {
            self.problems.push(format!("{name} is missing"));
            return None;
        };
        let secret = text.parse().ok();
        if secret.is_none() {
            self.problems.push(format!("{name} is not valid"));
        }
        secret
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.get(name).unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const VALID: [(&str, &str); 4] = [
        (CONTROL_BLOCK_ID, "co_zUXqwLRRnR9CANMAEcYkLV6wVMd"),
        (ACCOUNT_ID, "co_zUXqwLRRnR9CANMAEcYkLV6wVMd"),
        (AGENT_SECRET, "SECRET"),
        (SYNC_SERVER_URL, "ws://127.0.0.1:4200"),
    ];

    fn read(changes: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let secret = AgentSecret::from_seed(&jazz::SecretSeed::random(&mut jazz::driver::OsEntropy));
        let mut vars: HashMap<_, _> = VALID
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        vars.insert(AGENT_SECRET, secret.expose().to_owned());
        vars.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Config::from_lookup(|name| vars.get(name).cloned())
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let config = read(&[]).expect("a valid environment");
        assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.network.access_context, AccessContext::Internal);
        assert!(config.etcd_hosts.is_empty());
    }

    #[test]
    fn everything_is_read() {
        let config = read(&[
            (INTERNAL_ENDPOINT, "http://127.0.0.1:1/"),
            (EXTERNAL_ENDPOINT, "https://example.com"),
            (ACCESS_CONTEXT, "external"),
            (ETCD_HOSTS, "a:1, b:2,"),
            (LISTEN_HOST, "127.0.0.1"),
            (LISTEN_PORT, "0"),
            (LOCK_SOCKET, "/run/locks"),
        ])
        .expect("a valid environment");
        assert_eq!(
            config.network.internal_endpoint.as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(
            config.network.external_endpoint.as_deref(),
            Some("https://example.com")
        );
        assert_eq!(config.network.access_context, AccessContext::External);
        assert_eq!(config.etcd_hosts, ["a:1", "b:2"]);
        assert_eq!(config.listen.to_string(), "127.0.0.1:0");
        assert_eq!(
            config.lock_socket.as_deref(),
            Some(std::path::Path::new("/run/locks"))
        );
    }

    #[test]
    fn all_problems_are_named_at_once_and_no_secret_with_them() {
        let ConfigError(problems) = read(&[
            (CONTROL_BLOCK_ID, ""),
            (ACCOUNT_ID, "ada"),
            (AGENT_SECRET, "hunter2"),
            (SYNC_SERVER_URL, "http://x"),
            (ACCESS_CONTEXT, "outside"),
            (LISTEN_PORT, "eighty"),
        ])
        .err()
        .expect("an error");
        let names = [
            CONTROL_BLOCK_ID,
            ACCOUNT_ID,
            AGENT_SECRET,
            SYNC_SERVER_URL,
            ACCESS_CONTEXT,
            LISTEN_PORT,
        ];
        assert_eq!(problems.len(), names.len());
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(name), "{problem}");
            assert!(!problem.contains("hunter2"));
        }
    }
}
