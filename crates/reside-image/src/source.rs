//! Where images come from: the local store, later registries.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::{
    error::ImageError,
    image::Image,
    reference::{Reference, ResolvedImage},
};

/// Something that knows images.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// Finds what a reference stands for right now.
    async fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError>;

    /// Reads an image's manifest and configuration; their digests are checked.
    async fn image(&self, image: &ResolvedImage) -> Result<Image, ImageError>;

    /// Keeps these images from being cleaned away, and no others that `owner` wanted to keep before. Where nobody cleans,
    /// there is nothing to do.
    async fn retain(&self, owner: &str, images: &BTreeSet<ResolvedImage>) -> Result<(), ImageError> {
        let _ = (owner, images);
        Ok(())
    }
}
