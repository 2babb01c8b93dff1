//! The local store: one OCI image layout that holds the images of all identities.
//!
//! Other tools can read it: `skopeo inspect oci:DIR:IDENTITY:TAG`. Readers take no lock, since every file is replaced at
//! once; writers go through [`Writer`].

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::{
    error::ImageError,
    image::{self, Image},
    oci::{Descriptor, ImageIndex, Layout},
    reference::{Digest, Identity, Reference, ResolvedImage},
    source::ImageSource,
    stream::digest_of,
};

mod index;
mod listing;
mod prune;
mod retained;
mod writer;

pub use listing::{Inspected, Listed};
pub use prune::{Pruned, PrunedImage};
pub use writer::{BlobWriter, Writer};

const LAYOUT_VERSION: &str = "1.0.0";
const LAYOUT_BYTES_MAX: u64 = 4096;
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// The largest image manifest, as registries limit it.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The largest image configuration.
pub const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// A directory with images, in the OCI image layout.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// Opens the store in a directory; makes it if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let store = Self { path: path.into() };
        let layout = store.path.join("oci-layout");
        if !layout.try_exists().map_err(ImageError::io(&layout))? {
            writer::create(&store)?;
        }
        let found: Layout = read_json(&layout, LAYOUT_BYTES_MAX)?;
        if found.image_layout_version != LAYOUT_VERSION {
            let version = found.image_layout_version;
            return Err(ImageError::invalid(
                layout.display().to_string(),
                format_args!("unknown version {version}"),
            ));
        }
        Ok(store)
    }

    /// Returns the store's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds what a reference stands for.
    pub fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError> {
        let index = self.read_index()?;
        match index::find(&index, reference) {
            Some(found) => Ok(ResolvedImage {
                identity: reference.identity.clone(),
                digest: found.digest,
            }),
            None => Err(ImageError::Unknown {
                reference: reference.clone(),
                known: index::tags(&index, &reference.identity),
            }),
        }
    }

    /// Reads an image's manifest and configuration and checks their digests.
    pub fn image(&self, digest: &Digest) -> Result<Image, ImageError> {
        let text = self.read_small(digest, MANIFEST_BYTES_MAX)?;
        let manifest = image::parse_manifest(digest, &text)?;
        let config = self.read_small(&manifest.config.digest, CONFIG_BYTES_MAX)?;
        check_size(&manifest.config, config.len() as u64)?;
        let config = image::parse_config(&manifest, &config)?;
        Ok(Image {
            digest: *digest,
            manifest,
            manifest_size: text.len() as u64,
            config,
        })
    }

    /// Reads an image's manifest as it was written.
    pub fn manifest_text(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        self.read_small(digest, MANIFEST_BYTES_MAX)
    }

    /// Whether everything that an image consists of is here.
    pub fn has(&self, digest: &Digest) -> bool {
        let image = self.image(digest);
        image.is_ok_and(|image| {
            image
                .manifest
                .layers
                .iter()
                .all(|layer| self.open_blob(layer).is_ok())
        })
    }

    /// Returns the identities of which an image has this blob.
    pub(crate) fn identities_with(&self, blob: &Digest) -> Result<BTreeSet<Identity>, ImageError> {
        let index = self.read_index()?;
        let has_blob = |entry: &index::Entry<'_>| {
            let image = self.image(&entry.descriptor.digest);
            image.is_ok_and(|image| {
                let mut blobs = image.manifest.layers.iter().chain([&image.manifest.config]);
                blobs.any(|one| one.digest == *blob)
            })
        };
        Ok(index::entries(&index)
            .filter(has_blob)
            .map(|entry| entry.identity)
            .collect())
    }

    /// Opens a blob of the size its descriptor says. Whoever reads it compares its digest.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File, ImageError> {
        let file = self.open_file(&descriptor.digest)?;
        let metadata = file
            .metadata()
            .map_err(ImageError::io(self.blob_path(&descriptor.digest)))?;
        check_size(descriptor, metadata.len())?;
        Ok(file)
    }

    /// Starts writing.
    pub fn writer(&self) -> Result<Writer, ImageError> {
        Writer::start(self.clone())
    }

    fn open_file(&self, digest: &Digest) -> Result<File, ImageError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ImageError::MissingBlob(*digest),
            _ => ImageError::Io { path, source: error },
        })
    }

    /// Reads a whole blob and checks its digest.
    fn read_small(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ImageError> {
        let bytes = read_bounded(self.open_file(digest)?, &self.blob_path(digest), limit)?;
        let found = digest_of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(ImageError::DigestMismatch {
                expected: *digest,
                found,
            })
        }
    }

    fn read_index(&self) -> Result<ImageIndex, ImageError> {
        read_json(&self.index_path(), INDEX_BYTES_MAX)
    }

    fn index_path(&self) -> PathBuf {
        self.path.join("index.json")
    }

    fn blobs(&self) -> PathBuf {
        self.path.join("blobs").join("sha256")
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }
}

#[async_trait]
impl ImageSource for Store {
    // The files are small and local: reading them here is quicker than handing them to another thread.
    async fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError> {
        Store::resolve(self, reference)
    }

    async fn image(&self, image: &ResolvedImage) -> Result<Image, ImageError> {
        Store::image(self, &image.digest)
    }

    async fn retain(&self, owner: &str, images: &BTreeSet<ResolvedImage>) -> Result<(), ImageError> {
        Store::retain(self, owner, images)
    }
}

fn check_size(descriptor: &Descriptor, found: u64) -> Result<(), ImageError> {
    let Descriptor { digest, size, .. } = descriptor;
    if found == *size {
        Ok(())
    } else {
        Err(ImageError::SizeMismatch {
            digest: *digest,
            expected: *size,
            found,
        })
    }
}

fn read_bounded(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(ImageError::io(path))?;
    if bytes.len() as u64 > limit {
        return Err(ImageError::TooLarge {
            what: path.display().to_string(),
            limit,
        });
    }
    Ok(bytes)
}

fn read_json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, ImageError> {
    let bytes = read_bounded(File::open(path).map_err(ImageError::io(path))?, path, limit)?;
    serde_json::from_slice(&bytes).map_err(|error| ImageError::invalid(path.display().to_string(), error))
}
