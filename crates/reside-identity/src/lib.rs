//! Identities: full OCI image names without tag or digest. They name contracts and replicas, and they authenticate,
//! since only who controls that repository can publish under it.
//!
//! A crate of its own because the SDK and the images share it and neither needs the other; both export it. The grammar is
//! the one of the OCI distribution specification, narrowed to names that carry their registry.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The longest identity, as registries limit it.
pub const IDENTITY_BYTES_MAX: usize = 255;

/// A full OCI image name without tag or digest, e.g. `ghcr.io/exeteres/reside/contracts/alpha.v1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity(Arc<str>);

/// The text isn't a full image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an identity: expected a full lowercase image name with its registry, without tag or digest, as `ghcr.io/owner/contracts/name.v1`"
)]
pub struct InvalidIdentity(String);

impl Identity {
    /// Makes the identity of a constant that was checked at compile time (see [`is_identity`]).
    ///
    /// # Panics
    /// If the text is no identity. The contract macro and replica definitions check theirs before.
    pub fn from_static(text: &'static str) -> Self {
        assert!(is_identity(text), "`{text}` is not an identity");
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the registry's host and port.
    pub fn registry(&self) -> &str {
        self.split().0
    }

    /// Returns the name inside the registry.
    pub fn repository(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.0
            .split_once('/')
            .expect("an identity has a registry and a path")
    }
}

/// Tells whether the text is a full image name without tag or digest.
pub const fn is_identity(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() > IDENTITY_BYTES_MAX {
        return false;
    }
    let Some(mut at) = registry_end(bytes) else {
        return false;
    };
    while at < bytes.len() {
        let Some(end) = component_end(bytes, at + 1) else {
            return false;
        };
        at = end;
    }
    true
}

/// Returns where the registry ends and the path begins. A registry has a dot or a port, or is `localhost`; anything else
/// would be the first part of a path on Docker Hub.
const fn registry_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut qualified = false;
    while at < bytes.len() && bytes[at] != b'/' && bytes[at] != b':' {
        let previous = if at == 0 { b'.' } else { bytes[at - 1] };
        match bytes[at] {
            b'a'..=b'z' | b'0'..=b'9' => {}
            b'-' if previous != b'.' => {}
            b'.' if previous.is_ascii_alphanumeric() => qualified = true,
            _ => return None,
        }
        at += 1;
    }
    if at == 0 || !bytes[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    if at < bytes.len() && bytes[at] == b':' {
        return port_end(bytes, at + 1);
    }
    if at < bytes.len() && (qualified || starts_with(bytes, b"localhost/")) {
        Some(at)
    } else {
        None
    }
}

/// Returns where the port ends and the path begins.
const fn port_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut port: u32 = 0;
    while at < bytes.len() && bytes[at] != b'/' {
        if !bytes[at].is_ascii_digit() {
            return None;
        }
        port = port * 10 + (bytes[at] - b'0') as u32;
        if port > u16::MAX as u32 {
            return None;
        }
        at += 1;
    }
    if at > start && at < bytes.len() {
        Some(at)
    } else {
        None
    }
}

/// Returns where the path component ends: words of letters and digits with `.`, `_`, `__` or dashes between them.
const fn component_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    let mut separator = start;
    while at < bytes.len() && bytes[at] != b'/' {
        let length = at - separator;
        match bytes[at] {
            b'a'..=b'z' | b'0'..=b'9' => separator = at + 1,
            b'.' if at > start && length == 0 => {}
            b'_' if at > start && (length == 0 || (length == 1 && bytes[at - 1] == b'_')) => {}
            b'-' if at > start && (length == 0 || bytes[at - 1] == b'-') => {}
            _ => return None,
        }
        at += 1;
    }
    if at > start && separator == at {
        Some(at)
    } else {
        None
    }
}

const fn starts_with(bytes: &[u8], prefix: &[u8]) -> bool {
    match bytes.split_at_checked(prefix.len()) {
        None => false,
        Some((head, _)) => {
            let mut at = 0;
            while at < prefix.len() {
                if head[at] != prefix[at] {
                    return false;
                }
                at += 1;
            }
            true
        }
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_identity(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIdentity(bounded(text)))
        }
    }
}

/// Keeps what strangers sent from flooding a message.
fn bounded(text: &str) -> String {
    text.chars().take(IDENTITY_BYTES_MAX).collect()
}

impl TryFrom<String> for Identity {
    type Error = InvalidIdentity;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Identity {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Identity {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Identity {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Identity {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0)
    }
}

/// What identities begin with, whole parts of the path only: a registry, an owner, or a whole identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityPrefix(Arc<str>);

/// The text isn't the beginning of identities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the beginning of identities: expected a registry, perhaps with parts of a path, as `ghcr.io/owner`"
)]
pub struct InvalidPrefix(String);

impl IdentityPrefix {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an identity begins so.
    pub fn covers(&self, identity: &Identity) -> bool {
        self.rest_of(identity).is_some()
    }

    /// Returns what follows in an identity that begins so: nothing, or a path with its slash.
    pub fn rest_of<'a>(&self, identity: &'a Identity) -> Option<&'a str> {
        let rest = identity.0.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl FromStr for IdentityPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_identity(&format!("{text}/x")) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPrefix(bounded(text)))
        }
    }
}

impl TryFrom<String> for IdentityPrefix {
    type Error = InvalidPrefix;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IdentityPrefix> for String {
    fn from(prefix: IdentityPrefix) -> Self {
        prefix.0.as_ref().to_owned()
    }
}

impl fmt::Display for IdentityPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_part_of_a_path_ends() {
        let identity: Identity = "ghcr.io/exeteres/reside/replicas/alpha".parse().unwrap();
        let covers = |prefix: &str| prefix.parse::<IdentityPrefix>().unwrap().covers(&identity);
        for prefix in ["ghcr.io", "ghcr.io/exeteres/reside", identity.as_str()] {
            assert!(covers(prefix), "{prefix}");
        }
        for prefix in [
            "ghcr.io/exeteres/res",
            "ghcr.io/exeteres/reside/replicas/alpha/x",
            "quay.io",
            "ghcr.io:443",
        ] {
            assert!(!covers(prefix), "{prefix}");
        }
        for bad in [
            "",
            "ghcr",
            "ghcr.io/",
            "ghcr.io/*",
            "https://ghcr.io",
            "ghcr.io/A",
            "/ghcr.io",
        ] {
            assert!(bad.parse::<IdentityPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn full_image_names_are_identities() {
        for text in [
            "ghcr.io/exeteres/reside/contracts/alpha.v1",
            "ghcr.io/exeteres/reside/contracts/kubernetes-sentinel.v1",
            "localhost/app",
            "localhost:5000/a/b__c/d---e/e_f",
            "registry:5000/x",
            "my-registry.example.com:443/x",
            "xn--80ak6aa92e.com/a",
            "127.0.0.1:65535/a_b",
        ] {
            let identity: Identity = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(identity.to_string(), text);
            assert_eq!(format!("{}/{}", identity.registry(), identity.repository()), text);
        }
    }

    #[test]
    fn anything_else_is_not() {
        let long = format!("ghcr.io/{}", "a".repeat(IDENTITY_BYTES_MAX));
        for text in [
            "",
            "/",
            "alpha",
            "exeteres/alpha",
            "localhosts/a",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io//a",
            "ghcr.io/a/",
            "/a/b",
            "Ghcr.io/a",
            "ghcr.io/A",
            "ghcr.io/a:latest",
            "ghcr.io/a@sha256:00",
            "ghcr.io/a b",
            "ghcr.io/a..b",
            "ghcr.io/a___b",
            "ghcr.io/a_-b",
            "ghcr.io/-a",
            "ghcr.io/.a",
            "ghcr.io/a.",
            "ghcr.io/../a",
            "ghcr.io/ä",
            "-a.io/a",
            "a-.io/a",
            "-.io/a",
            ".io/a",
            "ghcr..io/a",
            "ghcr.io:/a",
            "ghcr.io:x/a",
            "ghcr.io:65536/a",
            "ghcr.io:99999999999999999999/a",
            "ghcr.io:+1/a",
            "ghcr.io:1:2/a",
            "ghcr.io:5000",
            "https://ghcr.io/a",
            &long,
        ] {
            assert!(!is_identity(text), "{text}");
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_identity_is_text_in_json() {
        let text = "\"ghcr.io/a/b\"";
        let identity: Identity = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&identity).unwrap(), text);
        assert!(serde_json::from_str::<Identity>("\"Nope\"").is_err());
    }
}
