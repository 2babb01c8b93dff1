//! From a crate to an image: runs cargo, asks the program for its manifest, packs it.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use cargo_metadata::{Message, Metadata, MetadataCommand, Package, Target, TargetKind};
use serde::Serialize;

use crate::{
    elf::{self, Architecture, ProgramError},
    error::ImageError,
    image::Image,
    manifest::{Kind, ManifestError, ResideManifest},
    pack::{self, PROGRAM_PATH, PackError},
    reference::{Digest, Identity, Tag},
    store::Store,
};

mod ask;
mod flags;

/// How long a program may take to print its manifest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to build and how.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The directory of the crate.
    pub crate_dir: PathBuf,
    /// Cargo's profile.
    pub profile: String,
    /// The tags that the image gets.
    pub tags: Vec<Tag>,
}

impl BuildOptions {
    /// The crate in a directory, in the release profile, as `latest`.
    pub fn new(crate_dir: impl Into<PathBuf>) -> Self {
        Self {
            crate_dir: crate_dir.into(),
            profile: "release".to_owned(),
            tags: vec![Tag::latest()],
        }
    }
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildReport {
    /// The image's name.
    pub identity: Identity,
    /// The tags that point to it.
    pub tags: Vec<Tag>,
    /// The image's digest.
    pub digest: Digest,
    /// Bytes of all blobs.
    pub size: u64,
    /// What the image holds.
    #[serde(rename = "type")]
    pub kind: Kind,
}

/// A program that was built and has said what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The program's file.
    pub path: PathBuf,
    /// The processor it is made for.
    pub architecture: Architecture,
    /// What it says about itself.
    pub manifest: ResideManifest,
}

/// Why a crate doesn't become an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no crate in the directory.
    #[error("there is no Cargo.toml in {}", .0.display())]
    NoCrate(PathBuf),
    /// The directory holds a workspace.
    #[error("{} is a workspace without a package of its own; name the directory of one of its crates", .0.display())]
    NoPackage(PathBuf),
    /// Cargo can't read the crate.
    #[error("cargo cannot read the crate: {0}")]
    Metadata(#[source] cargo_metadata::Error),
    /// The crate has no program.
    #[error(
        "the crate `{0}` has no program: add `src/main.rs`, which prints the manifest when it is called with `manifest`"
    )]
    NoProgram(String),
    /// The crate has several programs.
    #[error("the crate `{package}` has several programs ({}): set `default-run` in its Cargo.toml", .programs.join(", "))]
    SeveralPrograms {
        /// The crate.
        package: String,
        /// Their names.
        programs: Vec<String>,
    },
    /// Cargo can't be run, or its output can't be read.
    #[error("cargo cannot be run: {0}")]
    Cargo(#[source] io::Error),
    /// Cargo has said why.
    #[error("cargo failed ({0})")]
    CargoFailed(ExitStatus),
    /// Cargo has built something else.
    #[error("cargo built no program `{0}`")]
    NotBuilt(String),
    /// The program can't be the only file of an image.
    #[error("the program {} cannot be put into an image: {source}", .path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why.
        source: ProgramError,
    },
    /// The program doesn't say what it is.
    #[error("`{} manifest` failed: {reason}", .path.display())]
    Ask {
        /// The program.
        path: PathBuf,
        /// What happened.
        reason: AskError,
    },
    /// What the program says isn't a manifest.
    #[error("`{} manifest` prints no manifest: {source}", .path.display())]
    Manifest {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// The image can't be written.
    #[error(transparent)]
    Pack(#[from] PackError),
}

impl From<ImageError> for BuildError {
    fn from(error: ImageError) -> Self {
        Self::Pack(error.into())
    }
}

pub use ask::AskError;

/// Builds the crate in a directory and puts the image into the store. Cargo's progress goes to our standard error.
pub fn build(options: &BuildOptions, store: &Store) -> Result<BuildReport, BuildError> {
    let built = compile(options)?;
    let image = pack(&built, &options.tags, store)?;
    Ok(BuildReport {
        identity: built.manifest.identity().clone(),
        tags: options.tags.clone(),
        digest: image.digest,
        size: image.size(),
        kind: built.manifest.kind(),
    })
}

/// The first half of [`build`]: the program and its manifest.
pub fn compile(options: &BuildOptions) -> Result<Built, BuildError> {
    let directory = &options.crate_dir;
    if !directory.join("Cargo.toml").is_file() {
        return Err(BuildError::NoCrate(directory.clone()));
    }
    let directory = directory.canonicalize().map_err(BuildError::Cargo)?;
    let metadata = MetadataCommand::new()
        .current_dir(&directory)
        .no_deps()
        .exec()
        .map_err(BuildError::Metadata)?;
    let package = package_in(&metadata, &directory)?;
    let program = program_of(package)?.name.clone();
    let linked_statically = flags::mentions_static(&directory);
    let path = run_cargo(options, &directory, package, &program, !linked_statically)?;
    let path = match elf::inspect(&path) {
        // The setting that was found somewhere doesn't hold for this crate.
        Err(ProgramError::Dynamic) if linked_statically => {
            run_cargo(options, &directory, package, &program, true)?
        }
        _ => path,
    };
    examine(&path)
}

/// Checks a program that is built already and asks it for its manifest.
pub fn examine(path: &Path) -> Result<Built, BuildError> {
    examine_within(path, ANSWER_TIMEOUT)
}

/// As [`examine`], but the program has this long to answer.
pub fn examine_within(path: &Path, timeout: Duration) -> Result<Built, BuildError> {
    let path = path.to_owned();
    let architecture = elf::inspect(&path).map_err(|source| BuildError::Program {
        path: path.clone(),
        source,
    })?;
    let printed = ask::manifest(&path, timeout).map_err(|reason| BuildError::Ask {
        path: path.clone(),
        reason,
    })?;
    let manifest = ResideManifest::parse(&printed).map_err(|source| BuildError::Manifest {
        path: path.clone(),
        source,
    })?;
    Ok(Built {
        path,
        architecture,
        manifest,
    })
}

/// The second half of [`build`]: the image.
pub fn pack(built: &Built, tags: &[Tag], store: &Store) -> Result<Image, PackError> {
    let writer = store.writer()?;
    let program = match built.manifest.kind() {
        Kind::Contract => None,
        Kind::Replica => Some(pack::Program {
            layer: pack::write_program_layer(&writer, &built.path, PROGRAM_PATH)?,
            architecture: built.architecture,
            entrypoint: vec![PROGRAM_PATH.to_owned()],
        }),
    };
    pack::write_image(&writer, &built.manifest, tags, program.as_ref(), BTreeMap::new())
}

fn package_in<'a>(metadata: &'a Metadata, directory: &Path) -> Result<&'a Package, BuildError> {
    let manifest = directory.join("Cargo.toml");
    let is_here = |package: &&Package| {
        package
            .manifest_path
            .canonicalize()
            .is_ok_and(|path| path == manifest)
    };
    metadata
        .packages
        .iter()
        .find(is_here)
        .ok_or_else(|| BuildError::NoPackage(directory.to_owned()))
}

fn program_of(package: &Package) -> Result<&Target, BuildError> {
    let programs: Vec<&Target> = package
        .targets
        .iter()
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .collect();
    match programs.as_slice() {
        [] => Err(BuildError::NoProgram(package.name.to_string())),
        [program] => Ok(program),
        several => {
            let default = several
                .iter()
                .find(|target| Some(&target.name) == package.default_run.as_ref());
            default.copied().ok_or_else(|| BuildError::SeveralPrograms {
                package: package.name.to_string(),
                programs: several.iter().map(|target| target.name.clone()).collect(),
            })
        }
    }
}

/// Runs `cargo build` and returns the program it made.
fn run_cargo(
    options: &BuildOptions,
    directory: &Path,
    package: &Package,
    program: &str,
    force_static: bool,
) -> Result<PathBuf, BuildError> {
    let mut command = Command::new(flags::cargo());
    command
        .args([
            "build",
            "--message-format=json-render-diagnostics",
            "--profile",
            &options.profile,
            "--bin",
            program,
        ])
        .arg("--manifest-path")
        .arg(&package.manifest_path)
        .current_dir(directory) // cargo looks for its configuration from here upwards
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if force_static {
        flags::link_statically(&mut command, directory).map_err(BuildError::Cargo)?;
    }
    let mut child = command.spawn().map_err(BuildError::Cargo)?;
    let output = child.stdout.take().expect("standard output is piped");
    let found = find_program(BufReader::new(output), package, program);
    let status = child.wait().map_err(BuildError::Cargo)?;
    if !status.success() {
        return Err(BuildError::CargoFailed(status));
    }
    found
        .map_err(BuildError::Cargo)?
        .ok_or_else(|| BuildError::NotBuilt(program.to_owned()))
}

/// Reads cargo's messages to the end and returns the program that one of them names.
fn find_program(output: impl io::BufRead, package: &Package, program: &str) -> io::Result<Option<PathBuf>> {
    let mut found = None;
    for message in Message::parse_stream(output) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        let wanted = artifact.package_id == package.id && artifact.target.name == program;
        if let Some(executable) = artifact.executable.filter(|_| wanted) {
            found = Some(executable.into_std_path_buf());
        }
    }
    Ok(found)
}
