//! What a machine knows of registries: where prefixes of identities are kept, who may be spoken to in plain text, and how to
//! log in. One JSON file beside the image store, written by `reside registry`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use reside_identity::{Identity, IdentityPrefix};
use serde::{Deserialize, Serialize};

use super::credentials::Login;
use crate::{error::ImageError, store::Store};

const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// The settings of all registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RegistrySettings {
    /// Other places of identities with a prefix; the longest prefix counts. Identities stay as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mirrors: BTreeMap<IdentityPrefix, IdentityPrefix>,
    /// Registries, as `host:port`, that are spoken to without TLS. Those of this machine always are.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub plain_http: BTreeSet<String>,
    /// Logins by registry; they come before Docker's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logins: BTreeMap<String, Login>,
    /// The home of whoever runs clusters here: replicas, which have homes of their own, find Docker's logins there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,
}

/// Where an identity is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The registry, as `host:port`.
    pub registry: String,
    /// The name inside the registry.
    pub repository: String,
    /// `https`, or `http` where that is allowed.
    pub scheme: &'static str,
}

impl Place {
    /// The address that is connected to; Docker Hub's API isn't where its name says.
    pub fn authority(&self) -> &str {
        authority(&self.registry)
    }
}

pub(crate) fn authority(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        other => other,
    }
}

impl RegistrySettings {
    /// The file that belongs to a store.
    pub fn path(store: &Store) -> PathBuf {
        store.path().with_file_name("registries.json")
    }

    /// Reads the file; without one, there is nothing special about any registry.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ImageError::io(path)(error)),
        };
        let mut text = Vec::new();
        file.take(SETTINGS_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(ImageError::io(path))?;
        serde_json::from_slice(&text).map_err(|error| ImageError::invalid(path.display().to_string(), error))
    }

    /// Where an identity is kept, by the mirrors.
    pub(crate) fn place(&self, identity: &Identity) -> Result<Place, ImageError> {
        let mirror = self
            .mirrors
            .iter()
            .filter_map(|(prefix, to)| Some((prefix, to, prefix.rest_of(identity)?)))
            .max_by_key(|(prefix, ..)| prefix.as_str().len());
        let kept_as = match mirror {
            None => identity.clone(),
            Some((_, to, rest)) => format!("{to}{rest}")
                .parse()
                .map_err(|error| ImageError::invalid(format!("the mirror {to}"), error))?,
        };
        Ok(Place {
            registry: kept_as.registry().to_owned(),
            repository: kept_as.repository().to_owned(),
            scheme: self.scheme(kept_as.registry()),
        })
    }

    /// How a registry is spoken to.
    pub(crate) fn scheme(&self, registry: &str) -> &'static str {
        if is_loopback(registry) || self.plain_http.contains(registry) {
            "http"
        } else {
            "https"
        }
    }
}

/// Whether a registry is on this machine, where nobody listens on the way.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(settings: &RegistrySettings, identity: &str) -> String {
        let place = settings.place(&identity.parse().unwrap()).unwrap();
        format!("{}://{}/{}", place.scheme, place.registry, place.repository)
    }

    #[test]
    fn the_longest_prefix_says_where_an_identity_is_kept() {
        let settings: RegistrySettings = serde_json::from_value(json!({
            "mirrors": {"ghcr.io": "mirror.example.org/ghcr", "ghcr.io/exeteres/reside": "localhost:5000"},
            "plainHttp": ["mirror.example.org"],
        }))
        .unwrap();
        assert_eq!(
            place(&settings, "ghcr.io/exeteres/reside/replicas/alpha"),
            "http://localhost:5000/replicas/alpha"
        );
        assert_eq!(
            place(&settings, "ghcr.io/exeteres/residence"),
            "http://mirror.example.org/ghcr/exeteres/residence"
        );
        assert_eq!(place(&settings, "quay.io/a/b"), "https://quay.io/a/b");
        assert_eq!(
            place(&settings, "ghcr.io.example.org/a/b"),
            "https://ghcr.io.example.org/a/b"
        );
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_text_by_itself() {
        let scheme = |registry| RegistrySettings::default().scheme(registry);
        assert_eq!(
            ["localhost", "localhost:5000", "127.0.0.1:80", "127.1.2.3"].map(scheme),
            ["http"; 4]
        );
        let others = [
            "ghcr.io",
            "localhost.example.org",
            "127.0.0.1.example.org:80",
            "10.0.0.1:5000",
        ];
        assert_eq!(others.map(scheme), ["https"; 4]);
    }
}
