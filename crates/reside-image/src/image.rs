//! An image's documents, read and checked.

use std::collections::BTreeMap;

use crate::{
    error::ImageError,
    manifest::{MANIFEST_LABEL, ManifestError, ResideManifest},
    oci::{self, ImageConfig, ImageManifest},
    reference::{Digest, Identity},
};

/// An image without its layers' content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest of the manifest, which is the image's.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// The manifest's size in bytes.
    pub manifest_size: u64,
    /// The configuration.
    pub config: ImageConfig,
}

impl Image {
    /// The manifest of the contract or replica, if it belongs to this identity.
    pub fn reside_manifest(&self, expected: &Identity) -> Result<ResideManifest, ManifestError> {
        self.any_manifest()?.expect_identity(expected)
    }

    /// The manifest of the contract or replica, whosever it is.
    pub fn any_manifest(&self) -> Result<ResideManifest, ManifestError> {
        ResideManifest::from_label(self.labels().get(MANIFEST_LABEL).ok_or(ManifestError::NoLabel)?)
    }

    /// All labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.config.config.labels
    }

    /// The bytes of all blobs, as they are stored and sent.
    pub fn size(&self) -> u64 {
        let layers = self.manifest.layers.iter().map(|layer| layer.size);
        layers.fold(
            self.manifest_size.saturating_add(self.manifest.config.size),
            u64::saturating_add,
        )
    }
}

/// Reads an image manifest whose digest was checked.
pub(crate) fn parse_manifest(digest: &Digest, text: &[u8]) -> Result<ImageManifest, ImageError> {
    let what = || format!("the manifest {digest}");
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| ImageError::invalid(what(), error))?;
    let media_type = value.get("mediaType").and_then(|kind| kind.as_str());
    let unsupported = |media_type: &str| ImageError::Unsupported {
        what: what(),
        media_type: media_type.to_owned(),
    };
    match media_type {
        Some(oci::MANIFEST | oci::DOCKER_MANIFEST) => {}
        None if value.get("manifests").is_some() => return Err(unsupported(oci::INDEX)),
        None => {}
        Some(other) => return Err(unsupported(other)),
    }
    let manifest: ImageManifest =
        serde_json::from_value(value).map_err(|error| ImageError::invalid(what(), error))?;
    if manifest.schema_version == 2 {
        Ok(manifest)
    } else {
        Err(ImageError::invalid(
            what(),
            format_args!("schemaVersion is {}", manifest.schema_version),
        ))
    }
}

/// Reads an image's configuration whose digest was checked.
pub(crate) fn parse_config(manifest: &ImageManifest, text: &[u8]) -> Result<ImageConfig, ImageError> {
    let what = || format!("the configuration {}", manifest.config.digest);
    let config: ImageConfig =
        serde_json::from_slice(text).map_err(|error| ImageError::invalid(what(), error))?;
    if config.rootfs.kind != "layers" {
        return Err(ImageError::invalid(what(), "rootfs is not made of layers"));
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let (found, expected) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        return Err(ImageError::invalid(
            what(),
            format_args!("it has {found} layers, its manifest has {expected}"),
        ));
    }
    Ok(config)
}
