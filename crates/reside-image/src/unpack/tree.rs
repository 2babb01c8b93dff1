//! The directory that layers are extracted into. Nothing is written through a link, so nothing is written elsewhere.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use super::UnpackError;
use crate::{
    error::ImageError,
    stream::{CopyError, copy},
};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Why an entry can't be written.
pub(super) enum TreeError {
    /// It could do harm.
    Unsafe(&'static str),
    /// The layer can't be read.
    Read(io::Error),
    /// The disk can't be written.
    Write(io::Error),
}

/// A directory that is being filled.
pub(super) struct Tree {
    root: PathBuf,
    directories: Vec<PathBuf>,
}

impl Tree {
    pub(super) fn create(root: &Path) -> Result<Self, UnpackError> {
        new_directory(root).map_err(ImageError::io(root))?;
        Ok(Self {
            root: root.to_owned(),
            directories: vec![root.to_owned()],
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Brings the directories to disk; the files are there already.
    pub(super) fn sync(&self) -> Result<(), UnpackError> {
        for directory in self
            .directories
            .iter()
            .rev()
            .filter(|directory| directory.is_dir())
        {
            sync(directory)?;
        }
        Ok(())
    }

    pub(super) fn directory(&mut self, path: &Path) -> Result<(), TreeError> {
        if let Some(clean) = clean(path)? {
            let target = self.place(&clean)?;
            self.ensure_directory(&target, true)?;
        }
        Ok(())
    }

    /// Writes a file of exactly this size.
    pub(super) fn file(
        &mut self,
        path: &Path,
        mode: u32,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), TreeError> {
        let clean = named(path)?;
        let target = self.place(&clean)?;
        if self.whiteout(&target)? {
            return Ok(());
        }
        remove(&target)?;
        // No set-user-id, and nobody else may write; the owner can always read and replace it.
        let mode = mode & 0o755 | 0o600;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(target)
            .map_err(TreeError::Write)?;
        let written = copy(content, &mut file).map_err(|error| match error {
            CopyError::Read(error) => TreeError::Read(error),
            CopyError::Write(error) => TreeError::Write(error),
        })?;
        if written != size {
            return Err(TreeError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        file.sync_all().map_err(TreeError::Write)
    }

    pub(super) fn symlink(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        let clean = named(path)?;
        check_symlink(&clean, target)?;
        let place = self.place(&clean)?;
        remove(&place)?;
        symlink(target, place).map_err(TreeError::Write)
    }

    pub(super) fn hardlink(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        let source = self.place(&named(target)?)?;
        if !source.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(TreeError::Unsafe("it links to what is not a file of the image"));
        }
        let place = self.place(&named(path)?)?;
        if place == source {
            return Ok(());
        }
        remove(&place)?;
        fs::hard_link(source, place).map_err(TreeError::Write)
    }

    /// Returns where an entry is written; everything above it is a real directory.
    fn place(&mut self, clean: &Path) -> Result<PathBuf, TreeError> {
        let mut place = self.root.clone();
        let mut components = clean.components().peekable();
        while let Some(component) = components.next() {
            place.push(component);
            if components.peek().is_some() {
                self.ensure_directory(&place, false)?;
            }
        }
        Ok(place)
    }

    fn ensure_directory(&mut self, path: &Path, replace: bool) -> Result<(), TreeError> {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) if replace => remove(path)?,
            Ok(_) => return Err(TreeError::Unsafe("it would be written through a link or a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(TreeError::Write(error)),
        }
        new_directory(path).map_err(TreeError::Write)?;
        self.directories.push(path.to_owned());
        Ok(())
    }

    /// Carries out what a layer says about the layers below it: this file is gone, this directory starts empty.
    fn whiteout(&self, place: &Path) -> Result<bool, TreeError> {
        let name = place
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        let directory = place.parent().expect("entries lie inside of the root");
        if name == OPAQUE {
            for entry in fs::read_dir(directory).map_err(TreeError::Write)? {
                remove(&entry.map_err(TreeError::Write)?.path())?;
            }
        } else {
            remove(&directory.join(named(Path::new(hidden))?))?;
        }
        Ok(true)
    }
}

/// Brings a directory to disk.
pub(super) fn sync(directory: &Path) -> Result<(), ImageError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(ImageError::io(directory))
}

/// Whatever the layer says: with less, we couldn't fill it or remove it again.
fn new_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)
}

/// Returns the path relative to the root; none for the root itself.
fn clean(path: &Path) -> Result<Option<PathBuf>, TreeError> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err(TreeError::Unsafe("its path leads upwards")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(TreeError::Unsafe("its path is absolute"));
            }
        }
    }
    Ok(Some(clean).filter(|clean| !clean.as_os_str().is_empty()))
}

fn named(path: &Path) -> Result<PathBuf, TreeError> {
    clean(path)?.ok_or(TreeError::Unsafe("it has no name"))
}

/// A link stays inside if it first goes up, at most to the root, and then only down: since the same holds for every other
/// link that it may pass on its way down, it can't get out.
fn check_symlink(path: &Path, target: &Path) -> Result<(), TreeError> {
    let mut up = path.components().count() - 1;
    let mut down = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if down || up == 0 => {
                return Err(TreeError::Unsafe("it links to a place outside"));
            }
            Component::ParentDir => up -= 1,
            Component::RootDir | Component::Prefix(_) => {
                return Err(TreeError::Unsafe(
                    "it links to an absolute path, which lies outside here",
                ));
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), TreeError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TreeError::Write(error)),
        _ => Ok(()),
    }
}

/// Bytes of all files below a path.
pub(super) fn size(path: &Path) -> Result<u64, ImageError> {
    let metadata = path.symlink_metadata().map_err(ImageError::io(path))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path).map_err(ImageError::io(path))? {
        bytes += size(&entry.map_err(ImageError::io(path))?.path())?;
    }
    Ok(bytes)
}
