//! Which images are needed though no tag points to them: each owner, a cluster, keeps a list of its own in the store.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::{Store, read_json, writer};
use crate::error::ImageError;
use crate::reference::ResolvedImage;

const LIST_BYTES_MAX: u64 = 64 << 20;

impl Store {
    /// Keeps these images from being pruned, and no others that the owner has kept before. Waits for a pruning that is
    /// under way: what is in the store after this stays.
    pub fn retain(&self, owner: &str, images: &BTreeSet<ResolvedImage>) -> Result<(), ImageError> {
        let path = self.list_of(owner)?;
        let _writer = self.writer()?;
        fs::create_dir_all(self.lists()).map_err(ImageError::io(self.lists()))?;
        writer::replace_json(self, &path, images)
    }

    /// Whether the owner has ever said which images it needs.
    pub fn is_owner(&self, owner: &str) -> Result<bool, ImageError> {
        let path = self.list_of(owner)?;
        path.try_exists().map_err(ImageError::io(&path))
    }

    /// The owner is gone and needs nothing any more.
    pub fn release(&self, owner: &str) -> Result<(), ImageError> {
        let path = self.list_of(owner)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(ImageError::io(&path)(error)),
            _ => Ok(()),
        }
    }

    /// All images that some owner needs. A list that can't be read is an error: nothing may be taken for needless then.
    pub(super) fn retained(&self) -> Result<BTreeSet<ResolvedImage>, ImageError> {
        let lists = match fs::read_dir(self.lists()) {
            Ok(lists) => lists,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(ImageError::io(self.lists())(error)),
        };
        let mut retained = BTreeSet::new();
        for list in lists {
            let path = list.map_err(ImageError::io(self.lists()))?.path();
            retained.extend(read_json::<BTreeSet<ResolvedImage>>(&path, LIST_BYTES_MAX)?);
        }
        Ok(retained)
    }

    fn lists(&self) -> PathBuf {
        self.path.join("retained")
    }

    fn list_of(&self, owner: &str) -> Result<PathBuf, ImageError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if owner.is_empty() || !owner.bytes().all(is_plain) {
            return Err(ImageError::invalid(
                format!("{owner:?}"),
                "an owner of images has letters, digits, `-` and `_` only",
            ));
        }
        Ok(self.lists().join(format!("{owner}.json")))
    }
}
