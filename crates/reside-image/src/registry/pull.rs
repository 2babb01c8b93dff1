//! From a registry into the store. Everything is checked before it is part of the store; what breaks off is taken up where it
//! broke.

use std::io::{Read, Write};

use http::{Method, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::{Progress, Registry, Step, client::Call, error::RegistryError, settings::Place};
use crate::{
    error::ImageError,
    image,
    oci::{self, Descriptor},
    reference::{Digest, Reference, ResolvedImage, Tag},
    store::{BlobWriter, CONFIG_BYTES_MAX, Store, Writer},
    unpack::Limits,
};

impl Registry {
    /// Pulls an image into the store. A tag in the reference points to it afterwards; a digest alone gives it none.
    pub async fn pull(
        &self,
        reference: &Reference,
        store: &Store,
        progress: Progress<'_>,
    ) -> Result<ResolvedImage, ImageError> {
        let fetched = self.manifest(reference).await?;
        let manifest = image::parse_manifest(&fetched.digest, &fetched.text)?;
        check(&manifest)?;
        let place = self.connections.settings.place(&reference.identity)?;
        let writer = store.writer()?;
        // The configuration first: it tells whether this is an image at all.
        self.pull_blob(&place, &manifest.config, &writer, progress)
            .await?;
        let mut config = Vec::new();
        let file = store.open_blob(&manifest.config)?;
        file.take(CONFIG_BYTES_MAX)
            .read_to_end(&mut config)
            .map_err(ImageError::io(store.path()))?;
        image::parse_config(&manifest, &config)?;
        for layer in &manifest.layers {
            self.pull_blob(&place, layer, &writer, progress).await?;
        }
        let tags: Vec<Tag> = match (&reference.tag, &reference.digest) {
            (Some(tag), _) => vec![tag.clone()],
            (None, None) => vec![Tag::latest()],
            (None, Some(_)) => Vec::new(),
        };
        let digest = writer.publish(&reference.identity, &tags, &fetched.text)?;
        Ok(ResolvedImage {
            identity: reference.identity.clone(),
            digest,
        })
    }

    async fn pull_blob(
        &self,
        place: &Place,
        blob: &Descriptor,
        writer: &Writer,
        progress: Progress<'_>,
    ) -> Result<(), ImageError> {
        if is_whole(writer.store(), blob) {
            progress(Step::Present { digest: blob.digest });
            return Ok(());
        }
        progress(Step::Transfer {
            digest: blob.digest,
            size: blob.size,
        });
        let mut download = Download {
            blob,
            writer,
            file: writer.blob()?,
            received: 0,
        };
        let mut attempt = 1;
        loop {
            match self.receive(place, &mut download).await {
                Ok(()) => break,
                Err(ImageError::Registry(error)) => {
                    let again = self.connections.wait(&error, &mut attempt).await;
                    again.map_err(|()| download.failed(error))?;
                }
                Err(error) => return Err(error),
            }
        }
        download.file.finish_as(blob)
    }

    /// Receives what is missing of a blob.
    async fn receive(&self, place: &Place, download: &mut Download<'_>) -> Result<(), ImageError> {
        let blob = download.blob;
        let path = format!("{}/blobs/{}", place.repository, blob.digest);
        let mut call = Call::new(place, Method::GET, &path, format!("blob {}", blob.digest))?;
        if download.received > 0 {
            call = call.header(header::RANGE, &format!("bytes={}-", download.received));
        }
        let response = self.connections.once(&call).await?;
        if download.received > 0 && !continues(&response, download.received) {
            download.start_over()?;
        }
        let mut body = response.into_body();
        while let Some(piece) = self.connections.next(place, &mut body).await? {
            download.take(&piece)?;
        }
        if download.received == blob.size {
            return Ok(());
        }
        let reason = format!(
            "it sent {} of {} bytes of the blob {}",
            download.received, blob.size, blob.digest
        );
        Err(RegistryError::Unreachable {
            registry: place.registry.clone(),
            reason,
        }
        .into())
    }
}

/// Whether an answer goes on where the last one broke off.
fn continues(response: &http::Response<hyper::body::Incoming>, from: u64) -> bool {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// A blob on its way.
struct Download<'a> {
    blob: &'a Descriptor,
    writer: &'a Writer,
    file: BlobWriter<'a>,
    received: u64,
}

impl Download<'_> {
    fn start_over(&mut self) -> Result<(), ImageError> {
        self.file = self.writer.blob()?;
        self.received = 0;
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        self.received += piece.len() as u64;
        if self.received > self.blob.size {
            return Err(ImageError::SizeMismatch {
                digest: self.blob.digest,
                expected: self.blob.size,
                found: self.received,
            });
        }
        self.file
            .write_all(piece)
            .map_err(ImageError::io(self.writer.store().path()))
    }

    /// A blob of which the end never comes is a damaged one.
    fn failed(&self, error: RegistryError) -> ImageError {
        match error {
            RegistryError::Refused { status, .. } if status == StatusCode::RANGE_NOT_SATISFIABLE => {
                ImageError::SizeMismatch {
                    digest: self.blob.digest,
                    expected: self.blob.size,
                    found: self.received,
                }
            }
            other => other.into(),
        }
    }
}

/// Refuses what can't be an image before anything large is fetched.
fn check(manifest: &oci::ImageManifest) -> Result<(), ImageError> {
    let limits = Limits::default();
    let config = &manifest.config;
    if !matches!(config.media_type.as_str(), oci::CONFIG | oci::DOCKER_CONFIG) {
        return Err(ImageError::Unsupported {
            what: format!("the configuration {}", config.digest),
            media_type: config.media_type.clone(),
        });
    }
    let too_large = |what: String, limit| Err(ImageError::TooLarge { what, limit });
    if config.size > CONFIG_BYTES_MAX {
        return too_large(format!("the configuration {}", config.digest), CONFIG_BYTES_MAX);
    }
    if manifest.layers.len() > limits.layers {
        return Err(ImageError::invalid(
            "the image",
            format_args!("it has more than {} layers", limits.layers),
        ));
    }
    match manifest
        .layers
        .iter()
        .find(|layer| layer.size > limits.compressed)
    {
        Some(layer) => too_large(format!("the layer {}", layer.digest), limits.compressed),
        None => Ok(()),
    }
}

/// Whether the store has a blob, undamaged. A damaged one is fetched anew.
fn is_whole(store: &Store, blob: &Descriptor) -> bool {
    let Ok(mut file) = store.open_blob(blob) else {
        return false;
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Digest::from_hash(hash.finalize().into()) == blob.digest,
            Ok(count) => hash.update(&buffer[..count]),
            Err(_) => return false,
        }
    }
}
