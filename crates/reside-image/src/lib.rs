//! Images of contracts and replicas: their names, the local store, registries, making them from crates, and making them
//! runnable.
//!
//! An image is a few JSON documents and at most one layer, which holds one static program. What makes it ReSide's is the
//! label [`MANIFEST_LABEL`]: the base64 of the JSON that describes the contract or the replica.

pub mod build;
pub mod elf;
mod error;
mod image;
mod manifest;
pub mod oci;
pub mod pack;
pub mod reference;
pub mod registry;
mod source;
mod store;
mod stream;
pub mod unpack;

pub use error::ImageError;
pub use image::Image;
pub use manifest::{Kind, MANIFEST_BYTES_MAX, MANIFEST_LABEL, ManifestError, ResideManifest};
pub use reference::{Digest, Identity, InvalidIdentity, InvalidName, Reference, ResolvedImage, Tag};
pub use registry::{Registry, RegistryError, RegistrySettings};
pub use source::{ImageSource, Sources};
pub use store::{BlobWriter, Inspected, Listed, Pruned, PrunedImage, Store, Writer};
