//! `config.yaml`: accounts, clusters and contexts. What is read is checked completely; what this version doesn't know
//! is refused, because writing the file again would lose it.

use std::path::{Path, PathBuf};

use cojson::ids::AccountId;
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::files::{self, Lock};
use crate::names::Name;
use crate::paths::Paths;

const HEADER: &str = "# Written by `reside`, which does not keep comments.\n";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The context that counts when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_context: Option<Name>,
    /// Which account to use in which cluster.
    pub contexts: Vec<Context>,
    /// Known clusters.
    pub clusters: Vec<Cluster>,
    /// Own accounts, the oldest first.
    pub accounts: Vec<Account>,
}

/// An account in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// Its name.
    pub name: Name,
    /// The cluster.
    pub cluster: Name,
    /// The account.
    pub account: Name,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub name: Name,
    /// The Kubernetes namespace, if it runs in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where its gateway is reached.
    pub endpoint: String,
    /// The account of its Alpha Replica.
    pub alpha_replica_id: AccountId,
    /// The context of kubectl's configuration, if it runs in Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_context: Option<String>,
}

/// An account and its encrypted secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// Its name, on this machine and in its public profile.
    pub name: Name,
    /// Its id.
    pub account_id: AccountId,
    /// Who can decrypt the secret.
    pub recipients: Vec<Recipient>,
    /// The secret, an armoured age file.
    pub encrypted_agent_secret: String,
}

/// Somebody who can decrypt an account's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipient {
    /// The age recipient: `age1…`.
    pub recipient: String,
    /// Where the key that belongs to it is kept, for humans.
    pub label: String,
}

impl Config {
    /// Reads the file; without one, everything is empty.
    pub fn load(paths: &Paths) -> Result<Self, CommandError> {
        let path = paths.config();
        files::read(&path)?.map_or_else(|| Ok(Self::default()), |text| Self::parse(&path, &text))
    }

    /// Changes the file while no other process does. If `change` fails, nothing is written.
    pub fn edit<T>(
        paths: &Paths,
        change: impl FnOnce(&mut Self) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let _lock = Lock::acquire(&lock_path(paths))?;
        let before = Self::load(paths)?;
        let mut after = before.clone();
        let value = change(&mut after)?;
        if after != before {
            files::replace(&paths.config(), &after.to_yaml()?)?;
        }
        Ok(value)
    }

    fn to_yaml(&self) -> Result<String, CommandError> {
        let yaml = serde_saphyr::to_string(self)
            .map_err(|why| CommandError::failed("cannot write the configuration as YAML").because(why))?;
        Ok(format!("{HEADER}{yaml}"))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, CommandError> {
        let is_empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if is_empty {
            return Ok(Self::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let config: Self =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| broken(path, text, &error))?;
        config.check_names(path)?;
        Ok(config)
    }

    /// What the fuzz target `config` calls: what can be read is written and read again as the same.
    #[cfg(any(test, fuzzing))]
    pub fn read_and_write(data: &[u8]) {
        let (Ok(text), path) = (std::str::from_utf8(data), Path::new("config.yaml")) else {
            return;
        };
        match Self::parse(path, text) {
            Ok(config) => {
                let written = config.to_yaml().expect("what was read can be written");
                assert_eq!(Self::parse(path, &written).ok(), Some(config));
            }
            Err(error) => drop(format!("{:?}", miette::Report::new(error))),
        }
    }

    fn check_names(&self, path: &Path) -> Result<(), CommandError> {
        let accounts = self.accounts.iter().map(|account| ("account", &account.name));
        let clusters = self.clusters.iter().map(|cluster| ("cluster", &cluster.name));
        let contexts = self.contexts.iter().map(|context| ("context", &context.name));
        let mut met = std::collections::HashSet::new();
        for (kind, name) in accounts.chain(clusters).chain(contexts) {
            if !met.insert((kind, name)) {
                return Err(unusable(path).because(format!("there are two {kind}s named `{name}`")));
            }
        }
        Ok(())
    }

    /// Finds an account by its name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name.as_str() == name)
    }

    /// Finds a cluster by its name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name.as_str() == name)
    }

    /// Finds a context by its name.
    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name.as_str() == name)
    }

    /// The account of the current context; without one, the oldest account.
    pub fn default_account(&self) -> Option<&Account> {
        let context = self
            .current_context
            .as_ref()
            .and_then(|name| self.context(name.as_str()));
        let of_context = context.and_then(|context| self.account(context.account.as_str()));
        of_context.or(self.accounts.first())
    }

    /// Adds or replaces a cluster, and makes a context of its name current if there was none for it.
    pub fn add_cluster(&mut self, cluster: Cluster, account: &Name) {
        let name = cluster.name.clone();
        match self.clusters.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = cluster,
            None => self.clusters.push(cluster),
        }
        if self.context(name.as_str()).is_none() {
            self.contexts.push(Context {
                name: name.clone(),
                cluster: name.clone(),
                account: account.clone(),
            });
            self.current_context = Some(name);
        }
    }

    /// Removes a cluster and the contexts that use it.
    pub fn remove_cluster(&mut self, name: &str) {
        self.clusters.retain(|cluster| cluster.name.as_str() != name);
        self.contexts.retain(|context| context.cluster.as_str() != name);
        let current = self.current_context.take();
        self.current_context = current.filter(|current| self.context(current.as_str()).is_some());
    }
}

fn lock_path(paths: &Paths) -> PathBuf {
    paths.config().with_extension("yaml.lock")
}

fn unusable(path: &Path) -> CommandError {
    CommandError::failed(format!("cannot use the configuration `{}`", path.display())).help(
        "correct the file, or move it away to start anew; the secrets of your accounts are in it, so don't delete it",
    )
}

fn broken(path: &Path, text: &str, error: &serde_saphyr::Error) -> CommandError {
    let location = error.location().filter(|location| location.line() > 0);
    let message = error.without_snippet().to_string();
    let Some(location) = location else {
        return unusable(path).because(message);
    };
    let line = usize::try_from(location.line()).unwrap_or(1);
    let column = usize::try_from(location.column()).unwrap_or(1);
    unusable(path)
        .because(format!("line {line}, column {column}: {message}"))
        .at(path.display().to_string(), text, (line, column), "here")
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_corpus_of_fuzzing_is_read_and_written() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/config");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            Config::read_and_write(&std::fs::read(input.unwrap().path()).unwrap());
        }
    }
}
