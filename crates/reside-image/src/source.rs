//! Where images come from: the local store, then their registries.

use std::time::Duration;

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::{
    error::ImageError,
    image::Image,
    reference::{Reference, ResolvedImage},
    registry::{Patience, Registry, RegistrySettings},
    store::Store,
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

/// Somebody waits for each answer, and asks again if there is none.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(20),
    attempts: 2,
    backoff: Duration::from_millis(500),
    wait: Duration::from_secs(5),
};

/// The local store, and the registries for what it doesn't have.
///
/// A tag that the store has counts: somebody on this machine has built or pulled it. Any other is what the registry says it
/// is at this moment, every time. Nothing is put into the store.
#[derive(Clone, Debug)]
pub struct Sources {
    store: Store,
}

impl Sources {
    /// A store, and registries by the settings that belong to it.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The settings may have changed since the last time.
    fn registry(&self) -> Result<Registry, ImageError> {
        let settings = RegistrySettings::read(&RegistrySettings::path(&self.store))?;
        Ok(Registry::with_patience(settings, PATIENCE))
    }
}

#[async_trait]
impl ImageSource for Sources {
    async fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError> {
        let local = match self.store.resolve(reference) {
            Err(local @ ImageError::Unknown { .. }) => local,
            found => return found,
        };
        let found = match self.registry() {
            Ok(registry) => registry.resolve(reference).await,
            Err(error) => Err(error),
        };
        found.map_err(|remote| ImageError::Nowhere {
            local: Box::new(local),
            remote: Box::new(remote),
        })
    }

    async fn image(&self, image: &ResolvedImage) -> Result<Image, ImageError> {
        match self.store.image(&image.digest) {
            Err(ImageError::MissingBlob(_)) => self.registry()?.image(image).await,
            found => found,
        }
    }

    async fn retain(&self, owner: &str, images: &BTreeSet<ResolvedImage>) -> Result<(), ImageError> {
        ImageSource::retain(&self.store, owner, images).await
    }
}
