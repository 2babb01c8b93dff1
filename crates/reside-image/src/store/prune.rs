//! Garbage collection: images that no tag points to and that nobody needs, blobs that no image names, and what was
//! unpacked of such images. First the index lets go of an image, then its blobs go, so a store is whole at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{MANIFEST_BYTES_MAX, Store, index, writer};
use crate::error::ImageError;
use crate::oci::{Descriptor, ImageIndex};
use crate::reference::{Digest, Identity};
use crate::unpack;

/// Indexes of indexes are followed so deep.
const DEPTH_MAX: usize = 4;

/// What was pruned, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Images.
    pub images: Vec<PrunedImage>,
    /// Blobs, those of the images included.
    pub blobs: usize,
    /// Unpacked images.
    pub unpacked: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// An image that nobody needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunedImage {
    /// Its name.
    pub identity: Identity,
    /// Its digest.
    pub digest: Digest,
}

impl Store {
    /// Removes images without a tag that no owner [retains](Store::retain), everything that only they need, and what was
    /// unpacked of them below `unpacked`. With `dry_run` only tells what would go. Waits until nobody writes; whoever wants
    /// to write waits meanwhile.
    pub fn prune(&self, unpacked: &Path, dry_run: bool) -> Result<Pruned, ImageError> {
        let _alone = writer::lock_alone(self)?;
        let _index = writer::lock_index(self)?;
        let retained: BTreeSet<Digest> = self.retained()?.into_iter().map(|image| image.digest).collect();
        let mut index = self.read_index()?;
        let needless = |descriptor: &Descriptor| {
            index::entry(descriptor)
                .filter(|entry| entry.tag.is_none() && !retained.contains(&descriptor.digest))
                .map(|entry| PrunedImage {
                    identity: entry.identity,
                    digest: descriptor.digest,
                })
        };
        let images: Vec<PrunedImage> = index.manifests.iter().filter_map(needless).collect();
        index
            .manifests
            .retain(|descriptor| needless(descriptor).is_none());
        let needed = self.needed(&index)?;
        let mut pruned = Pruned {
            images,
            ..Pruned::default()
        };
        if !dry_run && !pruned.images.is_empty() {
            writer::replace_json(self, &self.index_path(), &index)?;
        }
        self.prune_blobs(&needed, dry_run, &mut pruned)?;
        let trees = self.unpacked_names(&index);
        let (count, bytes) = unpack::prune(unpacked, &trees, dry_run)?;
        pruned.unpacked = count;
        pruned.bytes += bytes;
        Ok(pruned)
    }

    /// All blobs that the index leads to, whosever they are.
    fn needed(&self, index: &ImageIndex) -> Result<BTreeSet<Digest>, ImageError> {
        let mut needed = BTreeSet::new();
        let mut level: Vec<Digest> = index
            .manifests
            .iter()
            .map(|descriptor| descriptor.digest)
            .collect();
        for _ in 0..DEPTH_MAX {
            let mut next = Vec::new();
            for digest in level {
                if !needed.insert(digest) {
                    continue;
                }
                next.extend(self.named_in(&digest)?);
            }
            level = next;
        }
        needed.extend(level);
        Ok(needed)
    }

    /// The blobs that a manifest or an index names; none if it is another blob, or a missing or damaged one.
    fn named_in(&self, digest: &Digest) -> Result<Vec<Digest>, ImageError> {
        let text = match self.read_small(digest, MANIFEST_BYTES_MAX) {
            Ok(text) => text,
            Err(error @ ImageError::Io { .. }) => return Err(error),
            Err(_) => return Ok(Vec::new()),
        };
        let document: Value = serde_json::from_slice(&text).unwrap_or_default();
        let lists = ["layers", "manifests"]
            .iter()
            .filter_map(|list| document[list].as_array())
            .flatten();
        let descriptors = [&document["config"]].into_iter().chain(lists);
        let digests = descriptors.filter_map(|descriptor| descriptor["digest"].as_str()?.parse().ok());
        Ok(digests.collect())
    }

    fn prune_blobs(
        &self,
        needed: &BTreeSet<Digest>,
        dry_run: bool,
        pruned: &mut Pruned,
    ) -> Result<(), ImageError> {
        let names: BTreeSet<String> = needed.iter().map(Digest::hex).collect();
        for entry in fs::read_dir(self.blobs()).map_err(ImageError::io(self.blobs()))? {
            let entry = entry.map_err(ImageError::io(self.blobs()))?;
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| names.contains(name))
            {
                continue;
            }
            let path = entry.path();
            let metadata = entry.metadata().map_err(ImageError::io(&path))?;
            pruned.blobs += 1;
            pruned.bytes += metadata.len();
            if dry_run {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(ImageError::io(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The names under which the images of an index are unpacked.
    fn unpacked_names(&self, index: &ImageIndex) -> BTreeSet<String> {
        let digests: BTreeMap<Digest, ()> = index
            .manifests
            .iter()
            .map(|descriptor| (descriptor.digest, ()))
            .collect();
        let images = digests.keys().filter_map(|digest| self.image(digest).ok());
        images.map(|image| unpack::cache_key(&image)).collect()
    }
}
