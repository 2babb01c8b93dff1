//! Images: a map of files, one for each size there is.

use std::collections::BTreeMap;

use cojson::transaction::Privacy;
use jazz_macros::CoMap;

use crate::create::{Owner, new_map};
use crate::error::{LoadError, WriteError};
use crate::file::FileStream;
use crate::map::set;
use crate::node::Node;
use crate::value::{Co, Raw, Ref};

/// Width and height in pixels.
pub type ImageSize = (u32, u32);

/// An image, as [`Node::create_image`] and jazz-tools make it. Scaling is left to its makers.
#[derive(CoMap, Debug, Clone, PartialEq, Eq)]
#[co(crate = "crate")]
pub struct ImageDefinition {
    /// The image as it was given.
    pub original: Ref<FileStream>,
    /// Its size.
    pub original_size: ImageSize,
    /// Something small to show until the image is there.
    #[co(rename = "placeholderDataURL")]
    pub placeholder_data_url: Option<String>,
    /// Whether there are smaller sizes, to be shown while larger ones load.
    pub progressive: bool,
}

impl Node {
    /// Makes an image of files: the definition, and the file of each size.
    pub fn create_image(
        &self,
        owner: &impl Owner,
        image: ImageDefinition,
        sizes: impl IntoIterator<Item = (ImageSize, Ref<FileStream>)>,
    ) -> Result<Co<ImageDefinition>, WriteError> {
        let mut new = new_map(owner, &image)?;
        let sizes = sizes
            .into_iter()
            .map(|(size, file)| set(&key(size), file.id().as_str().into()));
        new.init.get_or_insert_default().extend(sizes);
        self.create_value(new)
    }
}

impl Co<ImageDefinition> {
    /// The files by size.
    pub fn sizes(&self) -> Result<BTreeMap<ImageSize, Ref<FileStream>>, LoadError> {
        self.read(|raw| {
            let Raw::Map(view) = raw else {
                return Ok(BTreeMap::new());
            };
            let entries = view.iter();
            let sizes = entries.filter_map(|(key, id)| Some((size(key)?, id.as_str()?.parse().ok()?)));
            Ok(sizes.collect())
        })
    }

    /// Adds the file of one more size, or replaces it.
    pub fn add_size(&self, size: ImageSize, file: &Ref<FileStream>) -> Result<(), WriteError> {
        let change = set(&key(size), file.id().as_str().into());
        self.node()
            .write(|core, cx| core.write(cx, self.id(), &[change], Privacy::Private, None))
    }
}

fn key((width, height): ImageSize) -> String {
    format!("{width}x{height}")
}

fn size(key: &str) -> Option<ImageSize> {
    let (width, height) = key.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}
