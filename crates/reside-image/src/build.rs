//! From a crate to an image: runs cargo, asks the program for its manifest, packs it. A program that was built otherwise
//! is packed with a manifest from a file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
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
    manifest::{Kind, MANIFEST_BYTES_MAX, ManifestError, ResideManifest},
    pack::{self, LayerFile, PROGRAM_PATH, PackError},
    reference::{Digest, Identity, Tag},
    store::Store,
};

mod ask;
mod files;
mod flags;
mod labels;
mod notes;

/// How long a program may take to print its manifest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to build and how.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The directory of the crate.
    pub crate_dir: PathBuf,
    /// Cargo's profile.
    pub profile: String,
    /// Features of the crate, as cargo takes them.
    pub features: Vec<String>,
    /// The tags that the image gets.
    pub tags: Vec<Tag>,
}

impl BuildOptions {
    /// The crate in a directory, in the release profile, as `latest`.
    pub fn new(crate_dir: impl Into<PathBuf>) -> Self {
        Self {
            crate_dir: crate_dir.into(),
            profile: "release".to_owned(),
            features: Vec::new(),
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

impl BuildReport {
    /// What is said of an image that was packed.
    pub fn new(built: &Built, tags: &[Tag], image: &Image) -> Self {
        Self {
            identity: built.manifest.identity().clone(),
            tags: tags.to_vec(),
            digest: image.digest,
            size: image.size(),
            kind: built.manifest.kind(),
        }
    }
}

/// What an image is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The program; a contract's image is made without it.
    pub program: Option<BuiltProgram>,
    /// The manifest of the contract or replica.
    pub manifest: ResideManifest,
    /// Files beside the program.
    pub files: Vec<LayerFile>,
    /// Labels beside the manifest's.
    pub labels: BTreeMap<String, String>,
}

/// A program that was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltProgram {
    /// The program's file.
    pub path: PathBuf,
    /// The processor it is made for.
    pub architecture: Architecture,
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
    /// The manifest's file isn't one.
    #[error("{} is no manifest: {source}", .path.display())]
    ManifestFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A replica needs a program.
    #[error("{} is the manifest of a replica, whose image needs a program", .0.display())]
    NoBinary(PathBuf),
    /// `package.metadata.reside` isn't what it should be.
    #[error("`package.metadata.reside` in the Cargo.toml of `{package}` is not valid: {reason}")]
    Settings {
        /// The crate.
        package: String,
        /// What is wrong.
        reason: String,
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
pub use notes::RELEASE_NOTES_LABEL;

/// Builds the crate in a directory and puts the image into the store. Cargo's progress goes to our standard error.
pub fn build(options: &BuildOptions, store: &Store) -> Result<BuildReport, BuildError> {
    let built = compile(options)?;
    let image = pack(&built, &options.tags, store)?;
    Ok(BuildReport::new(&built, &options.tags, &image))
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
    let path = run_cargo(options, &metadata, package, &program, !linked_statically)?;
    let path = match elf::inspect(&path) {
        // The setting that was found somewhere doesn't hold for this crate.
        Err(ProgramError::Dynamic) if linked_statically => {
            run_cargo(options, &metadata, package, &program, true)?
        }
        _ => path,
    };
    let built = examine(&path)?;
    let files = match built.manifest.kind() {
        Kind::Contract => Vec::new(),
        Kind::Replica => files::of(package, &directory)?,
    };
    Ok(Built {
        files,
        labels: labels::of(package, &directory)?,
        ..built
    })
}

/// A program that was built by other means, with the manifest in a file. A contract needs no program.
pub fn from_files(manifest: &Path, program: Option<&Path>) -> Result<Built, BuildError> {
    let text = read_bounded(manifest, MANIFEST_BYTES_MAX as u64 + 1).map_err(ImageError::io(manifest))?;
    let parsed = ResideManifest::parse(&text).map_err(|source| BuildError::ManifestFile {
        path: manifest.to_owned(),
        source,
    })?;
    let program = match (parsed.kind(), program) {
        (Kind::Contract, _) => None,
        (Kind::Replica, None) => return Err(BuildError::NoBinary(manifest.to_owned())),
        (Kind::Replica, Some(path)) => Some(inspect(path)?),
    };
    Ok(Built {
        program,
        manifest: parsed,
        files: Vec::new(),
        labels: BTreeMap::new(),
    })
}

/// Reads the beginning of a file.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn inspect(path: &Path) -> Result<BuiltProgram, BuildError> {
    let architecture = elf::inspect(path).map_err(|source| BuildError::Program {
        path: path.to_owned(),
        source,
    })?;
    Ok(BuiltProgram {
        path: path.to_owned(),
        architecture,
    })
}

/// Checks a program that is built already and asks it for its manifest.
pub fn examine(path: &Path) -> Result<Built, BuildError> {
    examine_within(path, ANSWER_TIMEOUT)
}

/// As [`examine`], but the program has this long to answer.
pub fn examine_within(path: &Path, timeout: Duration) -> Result<Built, BuildError> {
    let program = inspect(path)?;
    let printed = ask::manifest(path, timeout).map_err(|reason| BuildError::Ask {
        path: path.to_owned(),
        reason,
    })?;
    let manifest = ResideManifest::parse(&printed).map_err(|source| BuildError::Manifest {
        path: path.to_owned(),
        source,
    })?;
    Ok(Built {
        program: Some(program),
        manifest,
        files: Vec::new(),
        labels: BTreeMap::new(),
    })
}

/// The second half of [`build`]: the image.
pub fn pack(built: &Built, tags: &[Tag], store: &Store) -> Result<Image, PackError> {
    let writer = store.writer()?;
    let program = match (built.manifest.kind(), &built.program) {
        (Kind::Contract, _) | (Kind::Replica, None) => None,
        (Kind::Replica, Some(program)) => {
            let mut files = vec![LayerFile::program(&program.path, PROGRAM_PATH)];
            files.extend(built.files.iter().cloned());
            Some(pack::Program {
                layer: pack::write_layer(&writer, &files)?,
                architecture: program.architecture,
                entrypoint: vec![PROGRAM_PATH.to_owned()],
            })
        }
    };
    let labels = built.labels.clone();
    pack::write_image(&writer, &built.manifest, tags, program.as_ref(), labels)
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
    metadata: &Metadata,
    package: &Package,
    program: &str,
    force_static: bool,
) -> Result<PathBuf, BuildError> {
    let directory = package
        .manifest_path
        .parent()
        .expect("a manifest lies in a directory");
    let directory = directory.as_std_path();
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
    for features in &options.features {
        command.args(["--features", features]);
    }
    let mut more = flags::Flags::default();
    if force_static {
        more.link_statically(directory).map_err(BuildError::Cargo)?;
    }
    // What cargo builds all day long in its `dev` profile is used as it is.
    if options.profile != "dev" {
        more.hide_paths(metadata);
    }
    more.add_to(&mut command, directory);
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
