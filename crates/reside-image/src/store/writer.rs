//! Writing into a store so that it is valid at every moment: blobs first, each under a temporary name until it is whole
//! and on disk, then the index, replaced at once. Two lock files keep writers apart.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::{LAYOUT_VERSION, Store, index};
use crate::{
    error::ImageError,
    image::parse_manifest,
    oci::{self, Descriptor, ImageIndex, Layout},
    reference::{Digest, Identity, Tag},
    stream::Hashing,
};

/// Held shared by everyone who writes files; who holds it alone may delete what nothing refers to.
const WRITING_LOCK: &str = ".writing.lock";
/// Held by who replaces the index.
const INDEX_LOCK: &str = ".index.lock";

/// Writes into a store. Several writers can write blobs at once; blobs that nothing refers to yet are safe from being
/// cleaned away as long as their writer lives.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    _writing: File,
}

/// Makes an empty store.
pub(super) fn create(store: &Store) -> Result<(), ImageError> {
    fs::create_dir_all(store.blobs()).map_err(ImageError::io(store.blobs()))?;
    fs::create_dir_all(temporary(store)).map_err(ImageError::io(temporary(store)))?;
    let writing = store.path.join(WRITING_LOCK);
    let lock = open_lock(&writing)?;
    lock.lock_shared().map_err(ImageError::io(&writing))?;
    let _lock = lock_index(store)?;
    let index = store.index_path();
    if !index.try_exists().map_err(ImageError::io(&index))? {
        replace_json(store, &index, &ImageIndex::default())?;
    }
    replace_json(
        store,
        &store.path.join("oci-layout"),
        &Layout {
            image_layout_version: LAYOUT_VERSION.to_owned(),
        },
    )
}

impl Writer {
    pub(super) fn start(store: Store) -> Result<Self, ImageError> {
        for directory in [store.blobs(), temporary(&store)] {
            fs::create_dir_all(&directory).map_err(ImageError::io(&directory))?;
        }
        let path = store.path.join(WRITING_LOCK);
        let lock = open_lock(&path)?;
        match lock.try_lock() {
            Ok(()) => {
                clean(&store);
                lock.unlock().map_err(ImageError::io(&path))?;
            }
            Err(TryLockError::WouldBlock) => {} // others write; what is stale can wait
            Err(TryLockError::Error(error)) => return Err(ImageError::Io { path, source: error }),
        }
        lock.lock_shared().map_err(ImageError::io(&path))?;
        Ok(Self {
            store,
            _writing: lock,
        })
    }

    /// Returns the store it writes into.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Starts a blob of unknown size.
    pub fn blob(&self) -> Result<BlobWriter<'_>, ImageError> {
        Ok(BlobWriter {
            store: &self.store,
            file: Hashing::new(temporary_file(&self.store)?),
        })
    }

    /// Writes a blob.
    pub fn write_blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, ImageError> {
        let mut blob = self.blob()?;
        blob.write_all(bytes)
            .map_err(ImageError::io(self.store.blobs()))?;
        blob.finish(media_type)
    }

    /// Writes an image's manifest and lets tags point to it; without tags, the image is known by its digest. The blobs
    /// that the manifest names must be there.
    pub fn publish(&self, identity: &Identity, tags: &[Tag], manifest: &[u8]) -> Result<Digest, ImageError> {
        let parsed = parse_manifest(&crate::stream::digest_of(manifest), manifest)?;
        for descriptor in [&parsed.config].into_iter().chain(&parsed.layers) {
            self.store.open_blob(descriptor)?;
        }
        let image = self.write_blob(parsed.media_type.as_deref().unwrap_or(oci::MANIFEST), manifest)?;
        let _lock = lock_index(&self.store)?;
        let mut index = self.store.read_index()?;
        index::publish(&mut index, identity, tags, &image);
        replace_json(&self.store, &self.store.index_path(), &index)?;
        tracing::debug!(%identity, digest = %image.digest, "image written");
        Ok(image.digest)
    }
}

/// A blob that is being written; dropping it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    store: &'a Store,
    file: Hashing<NamedTempFile>,
}

impl BlobWriter<'_> {
    /// Puts the blob in its place, if it is the one that was expected.
    pub(crate) fn finish_as(self, expected: &Descriptor) -> Result<(), ImageError> {
        let (file, found, size) = self.file.finish();
        if size != expected.size {
            return Err(ImageError::SizeMismatch {
                digest: expected.digest,
                expected: expected.size,
                found: size,
            });
        }
        if found != expected.digest {
            return Err(ImageError::DigestMismatch {
                expected: expected.digest,
                found,
            });
        }
        persist(file, &self.store.blob_path(&found))
    }

    /// Puts the blob in its place.
    pub fn finish(self, media_type: &str) -> Result<Descriptor, ImageError> {
        let (file, digest, size) = self.file.finish();
        persist(file, &self.store.blob_path(&digest))?;
        Ok(Descriptor::new(media_type, digest, size))
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn temporary(store: &Store) -> PathBuf {
    store.path.join(".tmp")
}

fn temporary_file(store: &Store) -> Result<NamedTempFile, ImageError> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder
        .tempfile_in(temporary(store))
        .map_err(ImageError::io(temporary(store)))
}

/// Removes what killed writers left behind. What can't be removed only takes space.
fn clean(store: &Store) {
    for entry in fs::read_dir(temporary(store)).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove a stale file of the image store");
        }
    }
}

fn open_lock(path: &Path) -> Result<File, ImageError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ImageError::io(path))
}

/// Waits until nobody writes; dropping the file lets others write again.
pub(super) fn lock_alone(store: &Store) -> Result<File, ImageError> {
    let path = store.path.join(WRITING_LOCK);
    let file = open_lock(&path)?;
    file.lock().map_err(ImageError::io(&path))?;
    clean(store);
    Ok(file)
}

/// Waits until nobody else changes the index; dropping the file lets go.
pub(super) fn lock_index(store: &Store) -> Result<File, ImageError> {
    let path = store.path.join(INDEX_LOCK);
    let file = open_lock(&path)?;
    file.lock().map_err(ImageError::io(&path))?;
    Ok(file)
}

pub(super) fn replace_json(store: &Store, path: &Path, content: &impl Serialize) -> Result<(), ImageError> {
    let text = serde_json::to_vec(content)
        .map_err(|error| ImageError::invalid(path.display().to_string(), error))?;
    let mut file = temporary_file(store)?;
    file.write_all(&text).map_err(ImageError::io(path))?;
    persist(file, path)
}

/// Gives a whole file its name, durably.
fn persist(file: NamedTempFile, path: &Path) -> Result<(), ImageError> {
    file.as_file().sync_all().map_err(ImageError::io(path))?;
    file.persist(path).map_err(|error| ImageError::Io {
        path: path.to_owned(),
        source: error.error,
    })?;
    let directory = path.parent().expect("files of a store lie in its directory");
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(ImageError::io(directory))
}
