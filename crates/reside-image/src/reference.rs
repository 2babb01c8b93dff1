//! Names of images: identities, tags, digests and what combines them. The grammar is the one of the OCI distribution
//! specification. Depends on no other module of the crate.

use std::{fmt, str::FromStr, sync::Arc};

use reside_identity::IDENTITY_BYTES_MAX;
pub use reside_identity::{Identity, IdentityPrefix, InvalidIdentity, InvalidPrefix, is_identity};
use serde::{Deserialize, Serialize};
/// The longest tag.
pub const TAG_BYTES_MAX: usize = 128;

const DIGEST_PREFIX: &str = "sha256:";

/// The text isn't what its type asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a full image name without tag or digest.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// Not a tag.
    #[error(
        "`{0}` is not a tag: expected up to 128 letters, digits, `_`, `.` and `-`, starting with none of `.` and `-`"
    )]
    Tag(String),
    /// Not a digest.
    #[error("`{0}` is not a digest: expected `sha256:` and 64 lowercase hexadecimal digits")]
    Digest(String),
    /// Not an identity with a digest.
    #[error("`{0}` names no digest: expected `identity@sha256:…`")]
    Unpinned(String),
}

/// Keeps what strangers sent from flooding a message.
fn bounded(text: &str) -> String {
    text.chars().take(IDENTITY_BYTES_MAX).collect()
}

/// Everything a newtype over text needs to be read from and written as text.
macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

text_form!(Tag);
text_form!(Digest);
text_form!(Reference);
text_form!(ResolvedImage);

/// The name of a version that can move, e.g. `latest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag that is meant where none is given.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = !text.is_empty()
            && text.len() <= TAG_BYTES_MAX
            && !text.starts_with(['.', '-'])
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::Tag(bounded(text)))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Makes a digest of a computed hash.
    pub const fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the hexadecimal digits alone.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidName::Digest(bounded(text));
        let digits = text.strip_prefix(DIGEST_PREFIX).ok_or_else(invalid)?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid());
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| invalid())?;
        Ok(Self(hash))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_PREFIX}{}", self.hex())
    }
}

/// What a person names an image by: an identity, perhaps with a tag, perhaps with a digest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// The image's name.
    pub identity: Identity,
    /// The tag; without tag and digest, `latest` is meant.
    pub tag: Option<Tag>,
    /// The digest; it decides where both are given.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Names an image by its tag.
    pub fn tagged(identity: Identity, tag: Tag) -> Self {
        Self {
            identity,
            tag: Some(tag),
            digest: None,
        }
    }
}

impl From<Identity> for Reference {
    fn from(identity: Identity) -> Self {
        Self {
            identity,
            tag: None,
            digest: None,
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let path = name.find('/').unwrap_or(0); // a colon before it starts the registry's port
        let (identity, tag) = match name[path..].split_once(':') {
            Some((rest, tag)) => (&name[..path + rest.len()], Some(tag.parse()?)),
            None => (name, None),
        };
        Ok(Self {
            identity: identity.parse()?,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.identity)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// An image that can't change any more: `identity@digest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResolvedImage {
    /// The image's name.
    pub identity: Identity,
    /// The digest of its manifest.
    pub digest: Digest,
}

impl FromStr for ResolvedImage {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            Reference {
                identity,
                tag: None,
                digest: Some(digest),
            } => Ok(Self { identity, digest }),
            _ => Err(InvalidName::Unpinned(bounded(text))),
        }
    }
}

impl fmt::Display for ResolvedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.identity, self.digest)
    }
}

impl From<ResolvedImage> for Reference {
    fn from(image: ResolvedImage) -> Self {
        Self {
            identity: image.identity,
            tag: None,
            digest: Some(image.digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn references_hold_tag_and_digest() {
        let plain: Reference = "ghcr.io/exeteres/reside/replicas/greeter".parse().unwrap();
        assert_eq!((plain.tag, plain.digest), (None, None));
        let tagged: Reference = "localhost:5000/greeter:v1.2-rc_1".parse().unwrap();
        assert_eq!(tagged.identity.as_str(), "localhost:5000/greeter");
        assert_eq!(tagged.tag.as_ref().map(Tag::as_str), Some("v1.2-rc_1"));
        for text in [
            format!("ghcr.io/a/b@{HASH}"),
            format!("ghcr.io/a/b:latest@{HASH}"),
            "ghcr.io/a/b:latest".to_owned(),
            "localhost:5000/greeter".to_owned(),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        for bad in [
            "ghcr.io/a:",
            "ghcr.io/a:b:c",
            "ghcr.io/a:.b",
            "ghcr.io/a@",
            "ghcr.io/a@sha256:00",
            "ghcr.io:5000",
            "@",
            ":",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert!(
            format!("ghcr.io/a@{}", HASH.to_uppercase())
                .parse::<Reference>()
                .is_err()
        );
        assert!(
            format!("ghcr.io/a@{}", HASH.replace("9f", "9F"))
                .parse::<Reference>()
                .is_err()
        );
    }

    #[test]
    fn resolved_images_name_a_digest_and_nothing_else() {
        let text = format!("ghcr.io/a/b@{HASH}");
        assert_eq!(text.parse::<ResolvedImage>().unwrap().to_string(), text);
        assert!(matches!(
            "ghcr.io/a/b:latest".parse::<ResolvedImage>(),
            Err(InvalidName::Unpinned(_))
        ));
        assert!(matches!(
            format!("ghcr.io/a/b:x@{HASH}").parse::<ResolvedImage>(),
            Err(InvalidName::Unpinned(_))
        ));
    }

    #[test]
    fn names_are_text_in_json() {
        let text = format!("\"ghcr.io/a/b:latest@{HASH}\"");
        let reference: Reference = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&reference).unwrap(), text);
        assert!(serde_json::from_str::<Reference>("\"Nope\"").is_err());
    }
}
