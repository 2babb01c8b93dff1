//! Where images come from: the local store, later registries.

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
}
