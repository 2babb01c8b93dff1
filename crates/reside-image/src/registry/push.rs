//! From the store to a registry: only what isn't there yet, in pieces, the tags last.

use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{Progress, Registry, Step, client::Call, drain, error::RegistryError, settings::Place};
use crate::{
    error::ImageError,
    oci::{self, Descriptor},
    reference::{ResolvedImage, Tag},
    store::Store,
};

/// A piece of an upload: what is sent again if the connection breaks.
const CHUNK_BYTES: u64 = 8 << 20;
/// Further repositories are not asked for a blob.
const MOUNTS_MAX: usize = 3;

impl Registry {
    /// Pushes an image of the store, under these tags; without tags, by its digest.
    pub async fn push(
        &self,
        image: &ResolvedImage,
        tags: &[Tag],
        store: &Store,
        progress: Progress<'_>,
    ) -> Result<(), ImageError> {
        let known = store.image(&image.digest)?;
        let text = store.manifest_text(&image.digest)?;
        let place = self.connections.settings.place(&image.identity)?;
        for blob in known.manifest.layers.iter().chain([&known.manifest.config]) {
            self.push_blob(&place, blob, store, progress).await?;
        }
        let by_digest = [image.digest.to_string()];
        let names: Vec<String> = tags.iter().map(Tag::to_string).collect();
        let media_type = known.manifest.media_type.as_deref().unwrap_or(oci::MANIFEST);
        for name in if names.is_empty() { &by_digest[..] } else { &names } {
            let path = format!("{}/manifests/{name}", place.repository);
            let call = Call::new(
                &place,
                Method::PUT,
                &path,
                format!("the manifest {}", image.digest),
            )?
            .header(header::CONTENT_TYPE, media_type)
            .body(Bytes::from(text.clone()));
            let response = self.connections.call(&call).await?;
            let stored = response
                .headers()
                .get("docker-content-digest")
                .and_then(|digest| digest.to_str().ok());
            if stored.is_some_and(|stored| stored != image.digest.to_string()) {
                let reason = format!("it has stored {} as another image", image.digest);
                return Err(protocol(&place, reason).into());
            }
            drain(response).await;
        }
        Ok(())
    }

    async fn push_blob(
        &self,
        place: &Place,
        blob: &Descriptor,
        store: &Store,
        progress: Progress<'_>,
    ) -> Result<(), ImageError> {
        let digest = blob.digest;
        if self.has_blob(place, blob).await? {
            progress(Step::Present { digest });
            return Ok(());
        }
        for other in self.others_with(place, blob, store)? {
            if self.mount(place, blob, &other).await? {
                progress(Step::Mounted { digest });
                return Ok(());
            }
        }
        progress(Step::Transfer {
            digest,
            size: blob.size,
        });
        let mut attempt = 1;
        loop {
            match self.upload(place, blob, store).await {
                Err(ImageError::Registry(error)) => {
                    let again = self.connections.wait(&error, &mut attempt).await;
                    again.map_err(|()| error)?;
                }
                done => return done,
            }
        }
    }

    async fn has_blob(&self, place: &Place, blob: &Descriptor) -> Result<bool, ImageError> {
        let path = format!("{}/blobs/{}", place.repository, blob.digest);
        let mut call = Call::new(place, Method::HEAD, &path, format!("blob {}", blob.digest))?;
        // One token for everything that is to come.
        call.scopes = vec![format!("repository:{}:pull,push", place.repository)];
        match self.connections.call(&call).await {
            Ok(response) => {
                drain(response).await;
                Ok(true)
            }
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Repositories of the same registry that have a blob, as far as the store knows.
    fn others_with(
        &self,
        place: &Place,
        blob: &Descriptor,
        store: &Store,
    ) -> Result<Vec<String>, ImageError> {
        let mut others = Vec::new();
        for identity in store.identities_with(&blob.digest)? {
            let Ok(other) = self.connections.settings.place(&identity) else {
                continue;
            };
            let is_new = other.registry == place.registry && other.repository != place.repository;
            if is_new && !others.contains(&other.repository) {
                others.push(other.repository);
            }
        }
        others.truncate(MOUNTS_MAX);
        Ok(others)
    }

    /// Has the registry take a blob from another of its repositories; `false`: it must be sent.
    async fn mount(&self, place: &Place, blob: &Descriptor, from: &str) -> Result<bool, ImageError> {
        let path = format!(
            "{}/blobs/uploads/?mount={}&from={from}",
            place.repository, blob.digest
        );
        let mut call = Call::new(
            place,
            Method::POST,
            &path,
            format!("blob {} of {from}", blob.digest),
        )?;
        call.scopes.push(format!("repository:{from}:pull"));
        match self.connections.call(&call).await {
            Ok(response) => {
                let mounted = response.status() == StatusCode::CREATED;
                if !mounted && let Ok(location) = location(place, &response) {
                    self.cancel(place, &location).await; // an upload was opened instead
                }
                drain(response).await;
                Ok(mounted)
            }
            // Whatever it doesn't like about this can be done the other way.
            Err(error) if !error.may_pass() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What isn't used any more would be kept for days by the registry. It needn't succeed.
    async fn cancel(&self, place: &Place, location: &str) {
        if let Ok(call) = Call::to(place, Method::DELETE, location, "an upload") {
            drop(self.connections.once(&call).await);
        }
    }

    /// Uploads a blob from its beginning.
    async fn upload(&self, place: &Place, blob: &Descriptor, store: &Store) -> Result<(), ImageError> {
        let what = format!("blob {}", blob.digest);
        let path = format!("{}/blobs/uploads/", place.repository);
        let call = Call::new(place, Method::POST, &path, what.clone())?;
        let response = self.connections.call(&call).await?;
        let mut to = location(place, &response)?;
        drain(response).await;
        let mut file = store.open_blob(blob)?;
        let mut sent = 0;
        let mut attempt = 1;
        while blob.size - sent > CHUNK_BYTES {
            let chunk = read_chunk(&mut file, sent, CHUNK_BYTES).map_err(ImageError::io(store.path()))?;
            match self.send_chunk(place, &to, sent, chunk, &what).await {
                Ok(next) => {
                    to = next;
                    sent += CHUNK_BYTES;
                }
                Err(error) => {
                    let again = self.connections.wait(&error, &mut attempt).await;
                    again.map_err(|()| error)?;
                    (to, sent) = self.upload_status(place, &to, &what).await?;
                }
            }
        }
        let rest = read_chunk(&mut file, sent, blob.size - sent).map_err(ImageError::io(store.path()))?;
        let separator = if to.contains('?') { '&' } else { '?' };
        let call = Call::to(
            place,
            Method::PUT,
            &format!("{to}{separator}digest={}", blob.digest),
            what,
        )?
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(rest);
        drain(self.connections.once(&call).await?).await;
        Ok(())
    }

    /// Sends a piece; returns where the next one goes.
    async fn send_chunk(
        &self,
        place: &Place,
        to: &str,
        at: u64,
        chunk: Bytes,
        what: &str,
    ) -> Result<String, RegistryError> {
        let range = format!("{at}-{}", at + chunk.len() as u64 - 1);
        let call = Call::to(place, Method::PATCH, to, what)?
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_RANGE, &range)
            .body(chunk);
        let response = self.connections.once(&call).await?;
        let next = location(place, &response);
        drain(response).await;
        next
    }

    /// Asks how much of an upload has arrived.
    async fn upload_status(
        &self,
        place: &Place,
        at: &str,
        what: &str,
    ) -> Result<(String, u64), RegistryError> {
        let mut call = Call::to(place, Method::GET, at, what)?;
        call.scopes = vec![format!("repository:{}:pull,push", place.repository)];
        let response = self.connections.call(&call).await?;
        let next = location(place, &response).unwrap_or_else(|_| at.to_owned());
        let range = response
            .headers()
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok());
        // `0-0` is what some registries say of an empty upload.
        let end = range.and_then(|range| {
            range
                .trim_start_matches("bytes=")
                .strip_prefix("0-")?
                .parse::<u64>()
                .ok()
        });
        let arrived = end.filter(|end| *end > 0).map_or(0, |end| end + 1);
        drain(response).await;
        Ok((next, arrived))
    }
}

/// Reads a piece of a file.
fn read_chunk(file: &mut std::fs::File, at: u64, length: u64) -> std::io::Result<Bytes> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    let mut chunk = vec![0; length];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut chunk)?;
    Ok(chunk.into())
}

fn location(place: &Place, response: &Response<Incoming>) -> Result<String, RegistryError> {
    let location = response.headers().get(header::LOCATION).map(HeaderValue::to_str);
    match location {
        Some(Ok(location)) => Ok(location.to_owned()),
        _ => Err(protocol(place, "it does not say where an upload goes".to_owned())),
    }
}

fn protocol(place: &Place, reason: String) -> RegistryError {
    RegistryError::Protocol {
        registry: place.registry.clone(),
        reason,
    }
}
