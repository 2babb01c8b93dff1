//! Every environment variable that ReSide reads, in one table: for the code, the documentation and the tests, which
//! clear them.

use std::ffi::OsString;

/// Who reads a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The command `reside` as a person uses it.
    Command,
    /// A replica's process. Alpha and the sentinel set these.
    Replica,
}

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub reader: Reader,
    /// What it means, in one sentence.
    pub about: &'static str,
}

/// All state below one folder.
pub const HOME: &str = "RESIDE_HOME";
/// The context to use.
pub const CONTEXT: &str = "RESIDE_CONTEXT";
/// What is logged.
pub const LOG: &str = "RESIDE_LOG";
/// How it is logged.
pub const LOG_FORMAT: &str = "RESIDE_LOG_FORMAT";

/// All of them.
pub const ALL: &[Variable] = &[
    command(
        HOME,
        "Folder that holds all state, instead of the usual XDG places",
    ),
    command(CONTEXT, "Context to use, unless `--context` is given"),
    command(
        "DOCKER_CONFIG",
        "Folder of Docker's configuration, for logins to registries",
    ),
    command(
        "VISUAL",
        "Editor for `reside secret edit`; then `EDITOR`, then `vi`",
    ),
    command("EDITOR", "The same, unless `VISUAL` is set"),
    command("NO_COLOR", "Any value turns colours off"),
    command("COLUMNS", "Width of tables and errors, instead of the terminal's"),
    replica("RESIDE_CONTROL_BLOCK_ID", "Id of the replica's control block"),
    replica("RESIDE_ACCOUNT_ID", "Id of the replica's account"),
    replica("RESIDE_AGENT_SECRET", "Secret of the replica's account"),
    replica("RESIDE_SYNC_SERVER_URL", "WebSocket address of the sync server"),
    replica(
        "RESIDE_INTERNAL_ENDPOINT",
        "Where other replicas of the cluster reach this one",
    ),
    replica(
        "RESIDE_EXTERNAL_ENDPOINT",
        "Where clients outside the cluster reach this one",
    ),
    replica(
        "RESIDE_ACCESS_CONTEXT",
        "Which of a callee's endpoints to use: `internal` (the default) or `external`",
    ),
    replica(
        "RESIDE_ETCD_HOSTS",
        "Addresses of the lock service, separated by commas",
    ),
    replica(
        "RESIDE_LOCK_SOCKET",
        "Socket of the lock service of a single machine",
    ),
    replica("RESIDE_LISTEN_HOST", "Address of the replica's HTTP server (all)"),
    replica("RESIDE_LISTEN_PORT", "Port of the replica's HTTP server (8080)"),
    replica(
        "RESIDE_RUNTIME_SOCKET",
        "Socket of the local runtime, for the Local Sentinel",
    ),
    replica(LOG, "What is logged: a level, or a filter as `info,jazz=debug`"),
    replica(LOG_FORMAT, "How it is logged: `json` or `pretty`"),
];

const fn command(name: &'static str, about: &'static str) -> Variable {
    Variable {
        name,
        reader: Reader::Command,
        about,
    }
}

const fn replica(name: &'static str, about: &'static str) -> Variable {
    Variable {
        name,
        reader: Reader::Replica,
        about,
    }
}

/// Reads a variable; an empty one counts as not set.
pub fn read(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Lists the variables of one reader, one a line, for help texts.
pub fn describe(reader: Reader) -> String {
    let variables: Vec<_> = ALL.iter().filter(|variable| variable.reader == reader).collect();
    let width = variables
        .iter()
        .map(|variable| variable.name.len())
        .max()
        .unwrap_or(0);
    variables
        .iter()
        .map(|variable| format!("  {:width$}  {}\n", variable.name, variable.about))
        .collect()
}
