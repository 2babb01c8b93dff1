//! Reads one layer: checks the digests of what passes, bounds it, and hands the entries to the tree.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::{
    Budget, UnpackError,
    tree::{Tree, TreeError},
};
use crate::{
    error::ImageError,
    oci::{self, Descriptor},
    reference::Digest,
    store::Store,
    stream::Hashing,
};

/// Room for a long path in an entry of its own.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;
const READ_BUFFER_BYTES: usize = 128 * 1024;

/// Extracts one layer and takes what it needed off the budget.
pub(super) fn extract(
    store: &Store,
    layer: &Descriptor,
    diff_id: &Digest,
    tree: &mut Tree,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let compressed = match layer.media_type.as_str() {
        oci::LAYER_GZIP | oci::DOCKER_LAYER_GZIP => true,
        oci::LAYER => false,
        other => {
            let what = format!("the layer {}", layer.digest);
            return Err(ImageError::Unsupported {
                what,
                media_type: other.to_owned(),
            }
            .into());
        }
    };
    if layer.size > budget.limits.compressed {
        let what = format!("the layer {}", layer.digest);
        return Err(ImageError::TooLarge {
            what,
            limit: budget.limits.compressed,
        }
        .into());
    }
    let file = store.open_blob(layer)?;
    let result = extract_checked(file, compressed, layer, diff_id, tree, budget);
    if result.is_err() {
        check_digest(store, layer)?; // that the blob is damaged explains more than what came of it
    }
    result
}

fn check_digest(store: &Store, layer: &Descriptor) -> Result<(), UnpackError> {
    let mut reader = Hashing::new(store.open_blob(layer)?);
    io::copy(&mut reader, &mut io::sink()).map_err(|error| bad(layer, error))?;
    expect_digest(layer, reader.finish().1)
}

fn expect_digest(layer: &Descriptor, found: Digest) -> Result<(), UnpackError> {
    let expected = layer.digest;
    if found == expected {
        Ok(())
    } else {
        Err(ImageError::DigestMismatch { expected, found }.into())
    }
}

fn bad(layer: &Descriptor, reason: impl ToString) -> UnpackError {
    UnpackError::BadLayer {
        layer: layer.digest,
        reason: reason.to_string(),
    }
}

fn extract_checked(
    file: File,
    compressed: bool,
    layer: &Descriptor,
    diff_id: &Digest,
    tree: &mut Tree,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let mut stored = Hashing::new(file);
    let buffered = BufReader::with_capacity(READ_BUFFER_BYTES, &mut stored);
    let decoder: Box<dyn Read + '_> = if compressed {
        Box::new(MultiGzDecoder::new(buffered))
    } else {
        Box::new(buffered)
    };
    let mut bounded = Bounded {
        inner: decoder,
        left: budget.bytes,
        exceeded: false,
    };
    let mut unpacked = Hashing::new(&mut bounded);
    let mut result = read_entries(&mut unpacked, layer, tree, budget);
    if result.is_ok() {
        // What comes after the end of the archive belongs to the digests as well.
        result = io::copy(&mut unpacked, &mut io::sink())
            .map(drop)
            .map_err(|error| bad(layer, error));
    }
    let (_, found, bytes) = unpacked.finish();
    if bounded.exceeded {
        return Err(UnpackError::OverLimit {
            what: "bytes",
            limit: budget.limits.bytes,
        });
    }
    drop(bounded);
    result?;
    budget.bytes -= bytes;
    expect_digest(layer, stored.finish().1)?;
    if found == *diff_id {
        Ok(())
    } else {
        Err(bad(layer, format_args!("its content is {found}, not {diff_id}")))
    }
}

/// Ends with an error when more than allowed was read: a small file can unpack to terabytes.
struct Bounded<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded = true;
                return Err(io::Error::other("too large"));
            }
        }
        Ok(count)
    }
}

/// What the entries before a file say about it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

fn read_entries(
    reader: impl Read,
    layer: &Descriptor,
    tree: &mut Tree,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let mut archive = tar::Archive::new(reader);
    // Raw: the crate would read extensions of any size into memory.
    let entries = archive.entries().map_err(|error| bad(layer, error))?.raw(true);
    let mut extensions = Extensions::default();
    for entry in entries {
        let mut entry = entry.map_err(|error| bad(layer, error))?;
        budget.take_entry()?;
        match entry.header().entry_type() {
            EntryType::GNULongName => extensions.path = Some(long_name(&mut entry, layer)?),
            EntryType::GNULongLink => extensions.link = Some(long_name(&mut entry, layer)?),
            EntryType::XHeader => read_pax(&mut entry, layer, &mut extensions)?,
            EntryType::XGlobalHeader => {} // dates and comments
            _ => write_entry(&mut entry, std::mem::take(&mut extensions), layer, tree)?,
        }
    }
    Ok(())
}

fn read_extension(entry: &mut impl Read, layer: &Descriptor) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    entry
        .take(EXTENSION_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(layer, error))?;
    if bytes.len() as u64 > EXTENSION_BYTES_MAX {
        Err(bad(layer, "an extension is too large"))
    } else {
        Ok(bytes)
    }
}

fn long_name(entry: &mut impl Read, layer: &Descriptor) -> Result<Vec<u8>, UnpackError> {
    let mut name = read_extension(entry, layer)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn read_pax(
    entry: &mut impl Read,
    layer: &Descriptor,
    extensions: &mut Extensions,
) -> Result<(), UnpackError> {
    let records = read_extension(entry, layer)?;
    for record in tar::PaxExtensions::new(&records) {
        let record = record.map_err(|error| bad(layer, error))?;
        match record.key_bytes() {
            b"path" => extensions.path = Some(record.value_bytes().to_vec()),
            b"linkpath" => extensions.link = Some(record.value_bytes().to_vec()),
            b"size" => return Err(bad(layer, "files of more than 8 GB are not supported")),
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(bad(layer, "sparse files are not supported"));
            }
            _ => {} // times, owners and attributes, which have no meaning here
        }
    }
    Ok(())
}

fn write_entry<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    extensions: Extensions,
    layer: &Descriptor,
    tree: &mut Tree,
) -> Result<(), UnpackError> {
    let path = extensions.path.unwrap_or_else(|| entry.path_bytes().into_owned());
    let path = to_path(path);
    let link = extensions
        .link
        .or_else(|| entry.link_name_bytes().map(|link| link.into_owned()))
        .map(to_path);
    let header = entry.header();
    let (kind, mode) = (
        header.entry_type(),
        header.mode().map_err(|error| bad(layer, error))?,
    );
    let size = header.entry_size().map_err(|error| bad(layer, error))?;
    let missing_link = || bad(layer, format_args!("the link `{}` leads nowhere", path.display()));
    let written = match kind {
        EntryType::Regular => tree.file(&path, mode, size, entry),
        EntryType::Directory => tree.directory(&path),
        EntryType::Symlink => tree.symlink(&path, &link.ok_or_else(missing_link)?),
        EntryType::Link => tree.hardlink(&path, &link.ok_or_else(missing_link)?),
        EntryType::Char | EntryType::Block => Err(TreeError::Unsafe("it is a device")),
        EntryType::Fifo => Err(TreeError::Unsafe("it is a pipe")),
        _ => Err(TreeError::Unsafe(
            "it is neither a file nor a directory nor a link",
        )),
    };
    written.map_err(|error| match error {
        TreeError::Unsafe(reason) => UnpackError::UnsafeEntry {
            layer: layer.digest,
            path: shown(&path),
            reason,
        },
        TreeError::Read(error) => bad(layer, error),
        TreeError::Write(error) => ImageError::io(tree.root().join(&path))(error).into(),
    })
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(200).collect()
}
