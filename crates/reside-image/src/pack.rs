//! Makes images: the layer of a program, the configuration with the label, the manifest. The same input gives the same
//! digest on any machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;

use crate::{
    elf::Architecture,
    error::ImageError,
    image::Image,
    manifest::{MANIFEST_LABEL, ManifestError, ResideManifest},
    oci::{self, Descriptor, ImageConfig, ImageManifest, RootFs, RunConfig},
    reference::{Digest, Tag},
    store::Writer,
    stream::{CopyError, Hashing, copy},
};

/// Where the program of a replica lies in its image.
pub const PROGRAM_PATH: &str = "/app";
/// The largest program.
pub const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// Further levels cost more time than their few percent are worth.
const COMPRESSION: Compression = Compression::new(3);
const TAR_BLOCK: u64 = 512;

/// A layer that is in the store. Several images can share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The compressed layer.
    pub descriptor: Descriptor,
    /// The digest before compression.
    pub diff_id: Digest,
}

/// The program of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The layer that holds it.
    pub layer: Layer,
    /// The processor it is made for.
    pub architecture: Architecture,
    /// Its absolute path inside the image, then its arguments.
    pub entrypoint: Vec<String>,
}

/// Why an image can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The manifest can't become a label.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store failed.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Writes the layer that holds one program.
///
/// `inside` is the absolute path that the program gets, as [`PROGRAM_PATH`]; a tar header holds about 100 bytes of it.
pub fn write_program_layer(writer: &Writer, program: &Path, inside: &str) -> Result<Layer, ImageError> {
    let file = File::open(program).map_err(ImageError::io(program))?;
    let metadata = file.metadata().map_err(ImageError::io(program))?;
    if !metadata.is_file() {
        return Err(ImageError::invalid(
            program.display().to_string(),
            "it is not a file",
        ));
    }
    if metadata.len() > PROGRAM_BYTES_MAX {
        return Err(ImageError::TooLarge {
            what: program.display().to_string(),
            limit: PROGRAM_BYTES_MAX,
        });
    }
    let header = tar_header(inside, metadata.len()).map_err(|error| ImageError::invalid(inside, error))?;
    let encoder = GzEncoder::new(writer.blob()?, COMPRESSION);
    let written = write_tar(encoder, &header, file, metadata.len());
    let (encoder, diff_id) = written.map_err(|error| match error {
        CopyError::Read(error) => ImageError::io(program)(error),
        CopyError::Write(error) => ImageError::io(writer.store().path())(error),
    })?;
    let blob = encoder.finish().map_err(ImageError::io(writer.store().path()))?;
    Ok(Layer {
        descriptor: blob.finish(oci::LAYER_GZIP)?,
        diff_id,
    })
}

/// Everything that could differ from machine to machine is fixed: owner, time, mode.
fn tar_header(inside: &str, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(inside.trim_start_matches('/'))?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// Writes a tar archive of one file; a file that changes while it is read is an error.
fn write_tar<W: Write>(to: W, header: &tar::Header, file: File, size: u64) -> Result<(W, Digest), CopyError> {
    let mut tar = Hashing::new(to);
    tar.write_all(header.as_bytes()).map_err(CopyError::Write)?;
    if copy(&mut file.take(size + 1), &mut tar)? != size {
        return Err(CopyError::Read(io::Error::other(
            "the file changed while it was read",
        )));
    }
    let padding = size.next_multiple_of(TAR_BLOCK) - size;
    copy(&mut io::repeat(0).take(padding + 2 * TAR_BLOCK), &mut tar)?;
    let (to, diff_id, _) = tar.finish();
    Ok((to, diff_id))
}

/// Writes an image: with a program it is a replica's, without one it has no layers.
///
/// `labels` come next to the one that holds the manifest.
pub fn write_image(
    writer: &Writer,
    manifest: &ResideManifest,
    tags: &[Tag],
    program: Option<&Program>,
    labels: BTreeMap<String, String>,
) -> Result<Image, PackError> {
    let mut labels = labels;
    labels.insert(MANIFEST_LABEL.to_owned(), manifest.to_label()?);
    let layers: Vec<&Layer> = program.iter().map(|program| &program.layer).collect();
    let config = ImageConfig {
        created: None,
        architecture: program
            .map_or("unknown", |program| program.architecture.as_oci())
            .to_owned(),
        os: program.map_or("unknown", |_| "linux").to_owned(),
        config: RunConfig {
            entrypoint: program
                .map(|program| program.entrypoint.clone())
                .unwrap_or_default(),
            labels,
            ..RunConfig::default()
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        },
    };
    let config_blob = writer.write_blob(oci::CONFIG, &json(&config)?)?;
    let image_manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(oci::MANIFEST.to_owned()),
        config: config_blob,
        layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
    };
    let text = json(&image_manifest)?;
    let digest = writer.publish(manifest.identity(), tags, &text)?;
    Ok(Image {
        digest,
        manifest: image_manifest,
        manifest_size: text.len() as u64,
        config,
    })
}

fn json(document: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(document).map_err(|error| ImageError::invalid("the image", error))
}
