//! Which cluster and which account are meant: by options, by the context, or because there is only one.

use crate::cli::{App, Globals};
use crate::config::{Account, Cluster, Config};
use crate::error::CommandError;

/// An account in a cluster.
#[derive(Clone, Debug)]
pub struct Target {
    /// The cluster.
    pub cluster: Cluster,
    /// The account.
    pub account: Account,
}

impl Target {
    /// Finds what is meant.
    pub fn resolve(app: &App) -> Result<Self, CommandError> {
        let config = Config::load(&app.paths)?;
        Ok(Self {
            cluster: cluster(&config, &app.globals, None)?.clone(),
            account: account(&config, &app.globals)?.clone(),
        })
    }
}

/// Finds the cluster that is meant; `name` is the argument of a command, if it has one.
pub fn cluster<'a>(
    config: &'a Config,
    globals: &Globals,
    name: Option<&str>,
) -> Result<&'a Cluster, CommandError> {
    let name = name.or(globals.cluster.as_ref().map(|name| name.as_str()));
    if let Some(name) = name {
        return config.cluster(name).ok_or_else(|| unknown_cluster(config, name));
    }
    let context = context(config, globals)?;
    match (context, config.clusters.as_slice()) {
        (Some(context), _) => {
            let name = context.cluster.as_str();
            config.cluster(name).ok_or_else(|| unknown_cluster(config, name))
        }
        (None, [cluster]) => Ok(cluster),
        (None, []) => {
            Err(CommandError::failed("no cluster is known")
                .help("`reside up local` makes one on this machine"))
        }
        (None, _) => Err(
            CommandError::failed("there are several clusters and no current context")
                .because(format!(
                    "the clusters are {}",
                    list(config.clusters.iter().map(|cluster| cluster.name.as_str()))
                ))
                .help("name one with `--cluster NAME`"),
        ),
    }
}

/// Finds the account that is meant.
pub fn account<'a>(config: &'a Config, globals: &Globals) -> Result<&'a Account, CommandError> {
    let of_context = || -> Result<Option<&str>, CommandError> {
        Ok(context(config, globals)?.map(|context| context.account.as_str()))
    };
    let name = match &globals.account {
        Some(name) => Some(name.as_str()),
        None => of_context()?,
    };
    match name {
        Some(name) => config.account(name).ok_or_else(|| unknown_account(config, name)),
        None => config.accounts.first().ok_or_else(no_account),
    }
}

fn context<'a>(
    config: &'a Config,
    globals: &Globals,
) -> Result<Option<&'a crate::config::Context>, CommandError> {
    let Some(name) = globals.context.as_ref().or(config.current_context.as_ref()) else {
        return Ok(None);
    };
    let found = config.context(name.as_str()).ok_or_else(|| {
        CommandError::failed(format!("there is no context `{name}`")).because(known(
            "contexts",
            config.contexts.iter().map(|context| context.name.as_str()),
        ))
    });
    found.map(Some)
}

/// There is no cluster of that name.
pub fn unknown_cluster(config: &Config, name: &str) -> CommandError {
    CommandError::failed(format!("there is no cluster `{name}`"))
        .because(known(
            "clusters",
            config.clusters.iter().map(|cluster| cluster.name.as_str()),
        ))
        .help(format!("`reside up {name}` makes one on this machine"))
}

/// There is no own account of that name.
pub fn unknown_account(config: &Config, name: &str) -> CommandError {
    CommandError::failed(format!("there is no account `{name}`"))
        .because(known(
            "accounts",
            config.accounts.iter().map(|account| account.name.as_str()),
        ))
        .help(format!("`reside account create {name}` makes one"))
}

/// There is no own account at all.
pub fn no_account() -> CommandError {
    CommandError::failed("there is no account").help("make one with `reside account create NAME`")
}

fn known<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names = list(names);
    if names.is_empty() {
        format!("there are no {what}")
    } else {
        format!("the known {what} are {names}")
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
