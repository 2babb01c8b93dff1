//! Registries: images are pulled from them into the store and pushed from it, by the OCI distribution protocol.
//!
//! A client of our own, since none there is lets us say to whom a login goes after a redirect, what is tried again, and how
//! long a stalled transfer is waited for.

use bytes::Bytes;
use http::{Method, header};
use http_body_util::BodyExt;

use crate::{
    error::ImageError,
    image::{self, Image},
    oci,
    reference::{Digest, Identity, Reference, ResolvedImage, Tag},
    store::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, Store},
    stream::digest_of,
};

mod challenge;
mod client;
mod credentials;
mod error;
mod pull;
mod push;
mod settings;

use client::{Call, Connections};
use settings::Place;

pub use client::Patience;
pub use credentials::Login;
pub use error::RegistryError;
pub use settings::RegistrySettings;

/// Kinds of manifests that we ask for; lists only to be able to say what they are.
const ACCEPTED: [&str; 4] = [oci::MANIFEST, oci::DOCKER_MANIFEST, oci::INDEX, oci::DOCKER_INDEX];

/// What a transfer does now, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A blob is sent or received.
    Transfer {
        /// The blob.
        digest: Digest,
        /// Its bytes.
        size: u64,
    },
    /// A blob is where it should be already.
    Present {
        /// The blob.
        digest: Digest,
    },
    /// The registry has taken a blob from another of its repositories.
    Mounted {
        /// The blob.
        digest: Digest,
    },
}

/// Is told what a transfer does.
pub type Progress<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// All registries, as one: where an identity is kept follows from the settings.
pub struct Registry {
    connections: Connections,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// A manifest as a registry has it, its digest checked.
struct Fetched {
    digest: Digest,
    text: Vec<u8>,
}

impl Registry {
    /// Speaks to registries by these settings.
    pub fn new(settings: RegistrySettings) -> Self {
        Self::with_patience(settings, Patience::default())
    }

    /// As [`new`](Self::new), with other times.
    pub fn with_patience(settings: RegistrySettings, patience: Patience) -> Self {
        Self {
            connections: Connections::new(settings, patience),
        }
    }

    /// By the settings that belong to a store.
    pub fn of(store: &Store) -> Result<Self, ImageError> {
        Ok(Self::new(RegistrySettings::read(&RegistrySettings::path(store))?))
    }

    /// Finds what a reference stands for.
    pub async fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError> {
        let digest = match reference.digest {
            Some(digest) => digest,
            None => self.manifest(reference).await?.digest,
        };
        Ok(ResolvedImage {
            identity: reference.identity.clone(),
            digest,
        })
    }

    /// Reads an image's manifest and configuration; nothing is stored.
    pub async fn image(&self, image: &ResolvedImage) -> Result<Image, ImageError> {
        let fetched = self.manifest(&image.clone().into()).await?;
        let manifest = image::parse_manifest(&fetched.digest, &fetched.text)?;
        let place = self.connections.settings.place(&image.identity)?;
        let config = self
            .small_blob(&place, &manifest.config, CONFIG_BYTES_MAX)
            .await?;
        let config = image::parse_config(&manifest, &config)?;
        Ok(Image {
            digest: fetched.digest,
            manifest,
            manifest_size: fetched.text.len() as u64,
            config,
        })
    }

    /// Checks that a registry answers, and a login if it asks for one.
    pub async fn check(&self, registry: &str) -> Result<(), ImageError> {
        let place = client::check_place(&self.connections.settings, registry);
        let mut call = Call::new(&place, Method::GET, "", "its front door")?;
        call.scopes.clear();
        self.connections.call(&call).await?;
        Ok(())
    }

    /// Fetches a manifest by digest or tag.
    async fn manifest(&self, reference: &Reference) -> Result<Fetched, ImageError> {
        let place = self.connections.settings.place(&reference.identity)?;
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_string(),
            (None, None) => Tag::latest().to_string(),
        };
        let path = format!("{}/manifests/{name}", place.repository);
        let what = format!("image {reference}{}", elsewhere(&place, &reference.identity));
        let call = Call::new(&place, Method::GET, &path, what)?.header(header::ACCEPT, &ACCEPTED.join(", "));
        let response = self.connections.call(&call).await?;
        let named = response.headers().get("docker-content-digest").cloned();
        let text = self
            .read(&place, response, MANIFEST_BYTES_MAX, &call.what)
            .await?;
        let found = digest_of(&text);
        // What the registry says is only of use to find out that it is wrong.
        let named = named.and_then(|named| named.to_str().ok()?.parse().ok());
        match reference.digest.or(named) {
            Some(expected) if expected != found => Err(ImageError::DigestMismatch { expected, found }),
            _ => Ok(Fetched { digest: found, text }),
        }
    }

    async fn small_blob(
        &self,
        place: &Place,
        of: &oci::Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, ImageError> {
        let what = format!("blob {}", of.digest);
        if of.size > limit {
            return Err(ImageError::TooLarge { what, limit });
        }
        let path = format!("{}/blobs/{}", place.repository, of.digest);
        let call = Call::new(place, Method::GET, &path, what)?;
        let response = self.connections.call(&call).await?;
        let bytes = self.read(place, response, of.size, &call.what).await;
        let bytes = bytes.map_err(|error| match error {
            ImageError::TooLarge { .. } => ImageError::SizeMismatch {
                digest: of.digest,
                expected: of.size,
                found: of.size + 1,
            },
            other => other,
        })?;
        let found = digest_of(&bytes);
        if bytes.len() as u64 != of.size {
            return Err(ImageError::SizeMismatch {
                digest: of.digest,
                expected: of.size,
                found: bytes.len() as u64,
            });
        }
        if found != of.digest {
            return Err(ImageError::DigestMismatch {
                expected: of.digest,
                found,
            });
        }
        Ok(bytes)
    }

    async fn read(
        &self,
        place: &Place,
        response: http::Response<hyper::body::Incoming>,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, ImageError> {
        let limit_bytes = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = self
            .connections
            .read(place, response.into_body(), limit_bytes)
            .await?;
        bytes.ok_or_else(|| ImageError::TooLarge {
            what: what.to_owned(),
            limit,
        })
    }
}

/// Reads an answer of which only the headers are of interest to its end, so that the connection can be used again.
async fn drain(response: http::Response<hyper::body::Incoming>) -> Bytes {
    let collected = http_body_util::Limited::new(response.into_body(), 64 * 1024)
        .collect()
        .await;
    collected.map(|body| body.to_bytes()).unwrap_or_default()
}

/// Where an image was looked for, if that isn't where its name says.
fn elsewhere(place: &Place, identity: &Identity) -> String {
    if place.registry == identity.registry() && place.repository == identity.repository() {
        String::new()
    } else {
        format!(" (as {}/{})", place.registry, place.repository)
    }
}
