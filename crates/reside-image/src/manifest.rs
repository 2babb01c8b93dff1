//! The manifest of a contract or a replica as far as images care: its type, its identity, and the label it travels in.
//! What else is in it is checked by those who use it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reference::{Identity, InvalidIdentity};

/// The image label that holds the base64 of a manifest.
pub const MANIFEST_LABEL: &str = "io.reside.manifest";
/// The largest manifest, as JSON.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// What an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A contract: an image without layers.
    Contract,
    /// A replica: an image with a program.
    Replica,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contract => "contract",
            Self::Replica => "replica",
        })
    }
}

/// The manifest of a contract or a replica, checked for what images need.
#[derive(Clone, Debug, PartialEq)]
pub struct ResideManifest {
    kind: Kind,
    identity: Identity,
    json: Value,
}

/// Why there is no usable manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The image is somebody else's.
    #[error(
        "the image has no label `{MANIFEST_LABEL}`, so it holds neither a contract nor a replica; `reside build` makes images that have one"
    )]
    NoLabel,
    /// More than anybody needs.
    #[error("the manifest is larger than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge,
    /// The label isn't base64.
    #[error("the label `{MANIFEST_LABEL}` is not base64: {0}")]
    NotBase64(String),
    /// The text isn't JSON.
    #[error("the manifest is not JSON: {0}")]
    NotJson(String),
    /// The JSON isn't an object.
    #[error("the manifest is not a JSON object")]
    NotAnObject,
    /// `type` is missing or unknown.
    #[error("the manifest's type is {0}, expected \"contract\" or \"replica\"")]
    UnknownType(String),
    /// `identity` is missing or malformed.
    #[error("the manifest's identity is not valid: {0}")]
    InvalidIdentity(String),
    /// The manifest belongs to another image.
    #[error("the image is {expected}, but its manifest is the one of {found}")]
    OtherIdentity {
        /// The image's name.
        expected: Identity,
        /// What the manifest says.
        found: Identity,
    },
}

impl ResideManifest {
    /// Reads a manifest as JSON text.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge);
        }
        let json = serde_json::from_slice(text).map_err(|error| ManifestError::NotJson(error.to_string()))?;
        Self::from_json(json)
    }

    /// Checks a manifest's type and identity.
    pub fn from_json(json: Value) -> Result<Self, ManifestError> {
        let object = json.as_object().ok_or(ManifestError::NotAnObject)?;
        let kind = match object.get("type") {
            Some(Value::String(kind)) if kind == "contract" => Kind::Contract,
            Some(Value::String(kind)) if kind == "replica" => Kind::Replica,
            other => return Err(ManifestError::UnknownType(shown(other))),
        };
        let identity = match object.get("identity") {
            Some(Value::String(identity)) => identity
                .parse()
                .map_err(|error: InvalidIdentity| ManifestError::InvalidIdentity(error.to_string()))?,
            other => return Err(ManifestError::InvalidIdentity(format!("it is {}", shown(other)))),
        };
        Ok(Self { kind, identity, json })
    }

    /// Reads the text of the label.
    pub fn from_label(label: &str) -> Result<Self, ManifestError> {
        if label.len() > MANIFEST_BYTES_MAX.div_ceil(3) * 4 {
            return Err(ManifestError::TooLarge);
        }
        let text = STANDARD
            .decode(label)
            .map_err(|error| ManifestError::NotBase64(error.to_string()))?;
        Self::parse(&text)
    }

    /// Returns the text of the label.
    pub fn to_label(&self) -> Result<String, ManifestError> {
        let text = self.json.to_string();
        if text.len() > MANIFEST_BYTES_MAX {
            Err(ManifestError::TooLarge)
        } else {
            Ok(STANDARD.encode(text))
        }
    }

    /// Checks that this is the manifest of the image it was found in.
    pub fn expect_identity(self, expected: &Identity) -> Result<Self, ManifestError> {
        if self.identity == *expected {
            Ok(self)
        } else {
            Err(ManifestError::OtherIdentity {
                expected: expected.clone(),
                found: self.identity,
            })
        }
    }

    /// What the image holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose manifest it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The whole manifest.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Returns the whole manifest.
    pub fn into_json(self) -> Value {
        self.json
    }
}

/// A short form for messages.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(
        || "missing".to_owned(),
        |value| value.to_string().chars().take(60).collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/greeter";

    #[test]
    fn a_label_holds_the_manifest() {
        let json = json!({"type": "replica", "identity": IDENTITY, "z": 1, "a": [0.1, "Привет"]});
        let manifest = ResideManifest::from_json(json.clone()).unwrap();
        assert_eq!(
            (manifest.kind(), manifest.identity().as_str()),
            (Kind::Replica, IDENTITY)
        );
        let again = ResideManifest::from_label(&manifest.to_label().unwrap()).unwrap();
        assert_eq!(again.into_json().to_string(), json.to_string());
    }

    #[test]
    fn every_way_to_be_wrong_has_its_error() {
        let label = |text: &str| ResideManifest::from_label(&STANDARD.encode(text)).unwrap_err();
        assert!(matches!(
            ResideManifest::from_label("*"),
            Err(ManifestError::NotBase64(_))
        ));
        assert!(matches!(label("{"), ManifestError::NotJson(_)));
        assert!(matches!(label(&"[".repeat(100_000)), ManifestError::NotJson(_)));
        assert!(matches!(
            ResideManifest::parse(b"\xff"),
            Err(ManifestError::NotJson(_))
        ));
        assert_eq!(label("[]"), ManifestError::NotAnObject);
        assert_eq!(label("{}"), ManifestError::UnknownType("missing".into()));
        assert_eq!(
            label(r#"{"type":"sentinel"}"#),
            ManifestError::UnknownType("\"sentinel\"".into())
        );
        assert_eq!(label(r#"{"type":7}"#), ManifestError::UnknownType("7".into()));
        assert!(matches!(
            label(r#"{"type":"replica"}"#),
            ManifestError::InvalidIdentity(_)
        ));
        assert!(matches!(
            label(r#"{"type":"contract","identity":"Nope"}"#),
            ManifestError::InvalidIdentity(_)
        ));
        assert_eq!(
            label(&" ".repeat(MANIFEST_BYTES_MAX + 1)),
            ManifestError::TooLarge
        );
        assert_eq!(
            ResideManifest::from_label(&"A".repeat(4 << 20)),
            Err(ManifestError::TooLarge)
        );
        let large = json!({"type": "replica", "identity": IDENTITY, "x": "x".repeat(MANIFEST_BYTES_MAX)});
        assert_eq!(
            ResideManifest::from_json(large).unwrap().to_label(),
            Err(ManifestError::TooLarge)
        );
    }

    #[test]
    fn the_manifest_of_another_image_is_refused() {
        let manifest = ResideManifest::from_json(json!({"type": "contract", "identity": IDENTITY})).unwrap();
        assert!(
            manifest
                .clone()
                .expect_identity(&IDENTITY.parse().unwrap())
                .is_ok()
        );
        let error = manifest
            .expect_identity(&"ghcr.io/mallory/greeter".parse().unwrap())
            .unwrap_err();
        assert!(matches!(error, ManifestError::OtherIdentity { .. }), "{error}");
    }
}
