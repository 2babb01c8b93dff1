//! What can go wrong with images, wherever they are kept.

use std::{io, path::PathBuf};

use crate::{
    reference::{Digest, Reference},
    registry::RegistryError,
};

/// Why an image can't be found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such image.
    #[error("there is no image {reference}{}", others(.known))]
    Unknown {
        /// What was asked for.
        reference: Reference,
        /// The tags that exist under the identity.
        known: Vec<String>,
    },
    /// A blob that an image needs isn't there.
    #[error("the blob {0} is missing")]
    MissingBlob(Digest),
    /// A blob isn't what its digest says.
    #[error("the blob {expected} is damaged: its content is {found}")]
    DigestMismatch {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A blob is longer or shorter than its descriptor says.
    #[error("the blob {digest} is damaged: it has {found} bytes instead of {expected}")]
    SizeMismatch {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What it has, as far as it was read.
        found: u64,
    },
    /// Something is larger than we read.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What it is.
        what: String,
        /// How large it may be.
        limit: u64,
    },
    /// A document isn't what it should be.
    #[error("{what} is not valid: {reason}")]
    Invalid {
        /// What it is.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A kind of image or layer that we don't read.
    #[error("{what} has the media type `{media_type}`, which is not supported")]
    Unsupported {
        /// What it is.
        what: String,
        /// Its media type.
        media_type: String,
    },
    /// The local store doesn't have it, and its registry doesn't give it.
    #[error("{local}, and {remote}")]
    Nowhere {
        /// What the store says.
        local: Box<ImageError>,
        /// What the registry says.
        remote: Box<ImageError>,
    },
    /// A registry fails.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    /// Adds the path to an error of the operating system.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}

fn others(known: &[String]) -> String {
    const SHOWN_MAX: usize = 10;
    match known {
        [] => String::new(),
        known => {
            let more = if known.len() > SHOWN_MAX { ", …" } else { "" };
            format!(
                "; known tags: {}{more}",
                known[..known.len().min(SHOWN_MAX)].join(", ")
            )
        }
    }
}
