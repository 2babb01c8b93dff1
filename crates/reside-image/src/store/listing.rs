//! What people are shown of a store.

use std::{collections::BTreeMap, fs, time::SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::{Store, index};
use crate::{
    error::ImageError,
    manifest::{Kind, ResideManifest},
    oci::Descriptor,
    reference::{Digest, Identity, Reference, Tag},
};

/// An image in a listing: one line per tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The image's name.
    pub identity: Identity,
    /// The tag; none if it has moved to a newer image.
    pub tag: Option<Tag>,
    /// The image's digest.
    pub digest: Digest,
    /// Bytes of all blobs; unknown if the image can't be read.
    pub size: Option<u64>,
    /// What the image holds; unknown if its manifest can't be read.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// When the image came into the store.
    #[serde(skip)]
    pub added: Option<SystemTime>,
    /// What is wrong with the image, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Everything about one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspected {
    /// The image's name.
    pub identity: Identity,
    /// The tags that point to it now.
    pub tags: Vec<Tag>,
    /// The image's digest.
    pub digest: Digest,
    /// Bytes of all blobs.
    pub size: u64,
    /// What the image holds; unknown if its manifest isn't usable.
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    /// The processor it is for; unknown for contracts.
    pub architecture: String,
    /// When the image came into the store.
    #[serde(skip)]
    pub added: Option<SystemTime>,
    /// The layers.
    pub layers: Vec<Descriptor>,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The manifest of the contract or replica, if it is usable.
    pub manifest: Option<Value>,
    /// Why the manifest isn't usable, if it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Store {
    /// Lists all images with an identity, by identity, tag and age. An image that can't be read is listed with its problem.
    pub fn list(&self) -> Result<Vec<Listed>, ImageError> {
        let index = self.read_index()?;
        let mut listed: Vec<Listed> = index::entries(&index).map(|entry| self.listed(entry)).collect();
        listed.sort_by(|a, b| {
            let names = (&a.identity, a.tag.is_none(), &a.tag).cmp(&(&b.identity, b.tag.is_none(), &b.tag));
            names.then(b.added.cmp(&a.added)).then(a.digest.cmp(&b.digest))
        });
        Ok(listed)
    }

    /// Returns everything about one image.
    pub fn inspect(&self, reference: &Reference) -> Result<Inspected, ImageError> {
        let found = self.resolve(reference)?;
        let digest = found.digest;
        let image = self.image(&digest)?;
        let index = self.read_index()?;
        let named = index::entries(&index)
            .filter(|entry| entry.identity == found.identity && entry.descriptor.digest == digest);
        let mut tags: Vec<Tag> = named.filter_map(|entry| entry.tag).collect();
        tags.sort();
        let manifest = image.reside_manifest(&found.identity);
        Ok(Inspected {
            identity: found.identity,
            tags,
            digest,
            size: image.size(),
            kind: manifest.as_ref().ok().map(ResideManifest::kind),
            added: self.added(&digest),
            problem: manifest.as_ref().err().map(ToString::to_string),
            manifest: manifest.ok().map(ResideManifest::into_json),
            architecture: image.config.architecture,
            layers: image.manifest.layers,
            labels: image.config.config.labels,
        })
    }

    fn listed(&self, entry: index::Entry<'_>) -> Listed {
        let digest = entry.descriptor.digest;
        let (size, manifest) = match self.image(&digest) {
            Ok(image) => {
                let manifest = image
                    .reside_manifest(&entry.identity)
                    .map_err(|error| error.to_string());
                (Some(image.size()), manifest)
            }
            Err(error) => (None, Err(error.to_string())),
        };
        Listed {
            identity: entry.identity,
            tag: entry.tag,
            digest,
            size,
            kind: manifest.as_ref().ok().map(ResideManifest::kind),
            added: self.added(&digest),
            problem: manifest.err(),
        }
    }

    fn added(&self, digest: &Digest) -> Option<SystemTime> {
        fs::metadata(self.blob_path(digest))
            .and_then(|metadata| metadata.modified())
            .ok()
    }
}
