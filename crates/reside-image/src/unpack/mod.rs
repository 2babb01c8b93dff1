//! Makes an image runnable as plain files, for processes on this machine.
//!
//! Layers come from strangers, and there is no container around the files: nothing is ever written outside of the tree,
//! links may not lead out of it, and sizes are bounded. What was unpacked once is kept and used again.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{error::ImageError, image::Image, oci::RunConfig, reference::Digest, store::Store};

mod layer;
mod tree;

use tree::Tree;

/// Held by whoever adds to the directory or removes from it.
const LOCK: &str = ".lock";
/// What is not whole.
const TEMPORARY: &str = ".unpacking";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of an image is unpacked before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Layers of an image.
    pub layers: usize,
    /// Bytes of a layer as it is stored.
    pub compressed: u64,
    /// Bytes of all layers, unpacked.
    pub bytes: u64,
    /// Files, directories and links of all layers.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layers: 128,
            compressed: 2 << 30,
            bytes: 4 << 30,
            entries: 200_000,
        }
    }
}

/// What the layers to come may still use.
struct Budget {
    limits: Limits,
    bytes: u64,
    entries: u64,
}

impl Budget {
    fn take_entry(&mut self) -> Result<(), UnpackError> {
        let limit = self.limits.entries;
        self.entries = self.entries.checked_sub(1).ok_or(UnpackError::OverLimit {
            what: "entries",
            limit,
        })?;
        Ok(())
    }
}

/// An image as files, and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The directory with the image's files.
    pub rootfs: PathBuf,
    /// The program, as a path on this machine.
    pub program: PathBuf,
    /// Its arguments, without the name of the program.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its working directory, as a path on this machine.
    pub workdir: PathBuf,
}

/// Why an image can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The image can't be read, or a file can't be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image has no files: it is a contract.
    #[error("the image {0} has no layers, so there is nothing to run; contracts are such images")]
    NoLayers(Digest),
    /// The layer is no tar archive that we read.
    #[error("the layer {layer} is damaged: {reason}")]
    BadLayer {
        /// The layer.
        layer: Digest,
        /// What is wrong.
        reason: String,
    },
    /// An entry of the layer could do harm.
    #[error("the layer {layer} holds `{path}`, which is refused: {reason}")]
    UnsafeEntry {
        /// The layer.
        layer: Digest,
        /// The entry.
        path: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The image exceeds the limits.
    #[error("the image has more than {limit} {what}")]
    OverLimit {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// The configuration doesn't say how to run the image.
    #[error("the image cannot be run: {0}")]
    NotRunnable(String),
}

/// Unpacks an image below a directory, which keeps what was unpacked; see [`unpack_with`].
pub fn unpack(store: &Store, digest: &Digest, into: &Path) -> Result<Unpacked, UnpackError> {
    unpack_with(store, digest, into, Limits::default())
}

/// Unpacks an image unless its files are there already. Several processes may do so at once.
///
/// A program that was just written can be busy for a moment (`ETXTBSY`) if the process forks meanwhile; whoever runs
/// it tries again.
pub fn unpack_with(
    store: &Store,
    digest: &Digest,
    into: &Path,
    limits: Limits,
) -> Result<Unpacked, UnpackError> {
    let image = store.image(digest)?;
    if image.manifest.layers.is_empty() {
        return Err(UnpackError::NoLayers(*digest));
    }
    if image.manifest.layers.len() > limits.layers {
        return Err(UnpackError::OverLimit {
            what: "layers",
            limit: limits.layers as u64,
        });
    }
    fs::create_dir_all(into).map_err(ImageError::io(into))?;
    let into = into.canonicalize().map_err(ImageError::io(into))?;
    let rootfs = into.join(cache_key(&image));
    if !is_there(&rootfs)? {
        extract(store, &image, &into, &rootfs, limits)?;
    }
    runnable(&image.config.config, rootfs)
}

/// Images with the same layers share their files.
pub(crate) fn cache_key(image: &Image) -> String {
    match image.manifest.layers.as_slice() {
        [layer] => layer.digest.hex(),
        layers => {
            let all = layers.iter().fold(Sha256::new(), |hash, layer| {
                hash.chain_update(layer.digest.to_string())
            });
            Digest::from_hash(all.finalize().into()).hex()
        }
    }
}

fn is_there(rootfs: &Path) -> Result<bool, UnpackError> {
    Ok(rootfs.try_exists().map_err(ImageError::io(rootfs))?)
}

/// Extracts all layers into a temporary directory and gives it its name when it is whole.
fn extract(
    store: &Store,
    image: &Image,
    into: &Path,
    rootfs: &Path,
    limits: Limits,
) -> Result<(), UnpackError> {
    let _lock = lock(into)?;
    if is_there(rootfs)? {
        return Ok(()); // another process was quicker
    }
    let temporary = into.join(TEMPORARY);
    remove(&temporary)?;
    let result = extract_layers(store, image, &temporary, limits).and_then(|()| {
        fs::rename(&temporary, rootfs).map_err(ImageError::io(rootfs))?;
        tree::sync(into)?;
        Ok(())
    });
    if result.is_err() {
        remove(&temporary)?;
    }
    result
}

/// Keeps others from unpacking and removing below this directory for as long as the file is open.
fn lock(into: &Path) -> Result<File, ImageError> {
    let path = into.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(ImageError::io(&path))?;
    file.lock().map_err(ImageError::io(&path))?;
    Ok(file)
}

/// Removes what was unpacked under other names than these; returns how many images and bytes. Processes that run from
/// there run on.
pub(crate) fn prune(
    into: &Path,
    needed: &BTreeSet<String>,
    dry_run: bool,
) -> Result<(usize, u64), ImageError> {
    if !into.try_exists().map_err(ImageError::io(into))? {
        return Ok((0, 0));
    }
    let _lock = lock(into)?;
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(into).map_err(ImageError::io(into))? {
        let entry = entry.map_err(ImageError::io(into))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == LOCK || needed.contains(&name) {
            continue;
        }
        count += 1;
        bytes += tree::size(&entry.path())?;
        if !dry_run {
            // What is half removed must not be taken for an image.
            let temporary = into.join(TEMPORARY);
            if name != TEMPORARY {
                remove(&temporary)?;
                fs::rename(entry.path(), &temporary).map_err(ImageError::io(&temporary))?;
            }
            remove(&temporary)?;
        }
    }
    Ok((count, bytes))
}

fn extract_layers(store: &Store, image: &Image, root: &Path, limits: Limits) -> Result<(), UnpackError> {
    let mut tree = Tree::create(root)?;
    let mut budget = Budget {
        limits,
        bytes: limits.bytes,
        entries: limits.entries,
    };
    for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        layer::extract(store, layer, diff_id, &mut tree, &mut budget)?;
    }
    tree.sync()
}

/// Removes what is half unpacked or half removed, also by a process that was killed; we hold the lock.
fn remove(temporary: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ImageError::io(temporary)(error)),
        _ => Ok(()),
    }
}

/// Works out how the image's program is run here.
fn runnable(config: &RunConfig, rootfs: PathBuf) -> Result<Unpacked, UnpackError> {
    let mut argv = config.entrypoint.iter().chain(&config.cmd).cloned();
    let name = argv
        .next()
        .ok_or_else(|| UnpackError::NotRunnable("it has no entry point".to_owned()))?;
    let mut env = Vec::new();
    for variable in &config.env {
        let (name, value) = variable.split_once('=').ok_or_else(|| {
            UnpackError::NotRunnable(format!("`{variable}` is not an environment variable"))
        })?;
        env.push((name.to_owned(), value.to_owned()));
    }
    let workdir = inside(&rootfs, Path::new(&config.working_dir))
        .filter(|path| path.is_dir())
        .ok_or_else(|| {
            UnpackError::NotRunnable(format!(
                "its working directory `{}` is missing",
                config.working_dir
            ))
        })?;
    let path = env
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT_PATH, |(_, path)| path);
    let candidates: Vec<PathBuf> = match name.as_str() {
        name if name.starts_with('/') => vec![PathBuf::from(name)],
        name if name.contains('/') => vec![Path::new("/").join(&config.working_dir).join(name)],
        name => path
            .split(':')
            .map(|directory| Path::new(directory).join(name))
            .collect(),
    };
    let program = candidates
        .iter()
        .filter_map(|candidate| inside(&rootfs, candidate))
        .find(|path| is_program(path))
        .ok_or_else(|| {
            UnpackError::NotRunnable(format!("its entry point `{name}` is not a program in its layers"))
        })?;
    Ok(Unpacked {
        rootfs,
        program,
        args: argv.collect(),
        env,
        workdir,
    })
}

/// Finds a file of the image; none if there is none or if it isn't inside of the image.
fn inside(rootfs: &Path, path: &Path) -> Option<PathBuf> {
    let mut found = rootfs.to_owned();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => found.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    // The path as it is named, not where links lead: some programs look at their own name.
    found
        .canonicalize()
        .is_ok_and(|real| real.starts_with(rootfs))
        .then_some(found)
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o100 != 0)
}
