//! Makes images: the layer of a program, the configuration with the label, the manifest. The same input gives the same
//! digest on any machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
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

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerFile {
    /// The absolute path that it gets in the image.
    pub inside: String,
    /// Where it is now.
    pub path: PathBuf,
    /// Whether it can be run.
    pub is_executable: bool,
}

impl LayerFile {
    /// A program, under a path in the image as [`PROGRAM_PATH`].
    pub fn program(path: &Path, inside: &str) -> Self {
        Self {
            inside: inside.to_owned(),
            path: path.to_owned(),
            is_executable: true,
        }
    }
}

/// Writes the layer that holds one program.
pub fn write_program_layer(writer: &Writer, program: &Path, inside: &str) -> Result<Layer, ImageError> {
    write_layer(writer, &[LayerFile::program(program, inside)])
}

/// Writes a layer with files, in this order. The folders above them are made by whoever unpacks it.
pub fn write_layer(writer: &Writer, files: &[LayerFile]) -> Result<Layer, ImageError> {
    let mut tar = Hashing::new(GzEncoder::new(writer.blob()?, COMPRESSION));
    for file in files {
        append(&mut tar, file).map_err(|error| match error {
            AppendError::Refused(error) => error,
            AppendError::Copy(CopyError::Read(error)) => ImageError::io(&file.path)(error),
            AppendError::Copy(CopyError::Write(error)) => ImageError::io(writer.store().path())(error),
        })?;
    }
    let io = |error| ImageError::io(writer.store().path())(error);
    tar.write_all(&[0; 2 * TAR_BLOCK as usize]).map_err(io)?;
    let (encoder, diff_id, _) = tar.finish();
    let blob = encoder.finish().map_err(io)?;
    Ok(Layer {
        descriptor: blob.finish(oci::LAYER_GZIP)?,
        diff_id,
    })
}

enum AppendError {
    Refused(ImageError),
    Copy(CopyError),
}

impl From<CopyError> for AppendError {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

/// Writes a file into a tar archive; one that changes while it is read is an error.
fn append(tar: &mut impl Write, of: &LayerFile) -> Result<(), AppendError> {
    let file = File::open(&of.path).map_err(CopyError::Read)?;
    let metadata = file.metadata().map_err(CopyError::Read)?;
    let size = metadata.len();
    if !metadata.is_file() {
        let error = ImageError::invalid(of.path.display().to_string(), "it is not a file");
        return Err(AppendError::Refused(error));
    }
    if size > PROGRAM_BYTES_MAX {
        return Err(AppendError::Refused(ImageError::TooLarge {
            what: of.path.display().to_string(),
            limit: PROGRAM_BYTES_MAX,
        }));
    }
    let header = tar_header(of, size)
        .map_err(|error| AppendError::Refused(ImageError::invalid(of.inside.clone(), error)))?;
    tar.write_all(header.as_bytes()).map_err(CopyError::Write)?;
    if copy(&mut file.take(size + 1), tar)? != size {
        return Err(CopyError::Read(io::Error::other("the file changed while it was read")).into());
    }
    let padding = size.next_multiple_of(TAR_BLOCK) - size;
    copy(&mut io::repeat(0).take(padding), tar)?;
    Ok(())
}

/// Everything that could differ from machine to machine is fixed: owner, time, mode.
fn tar_header(file: &LayerFile, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(file.inside.trim_start_matches('/'))?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(if file.is_executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
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
