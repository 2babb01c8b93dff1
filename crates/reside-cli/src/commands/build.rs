//! `reside build`

mod published;

use std::path::PathBuf;

use clap::Args;
use reside_image::build::{self, BuildError, BuildOptions, BuildReport, Built};
use reside_image::{Store, Tag};
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;
use crate::ui::{Drawing, STRONG, View, size_text};

/// Build a contract or a replica into an image in the local store
///
/// Builds the crate in a folder with cargo, asks the program for its manifest, and stores the image under the identity
/// that the manifest names. The same sources give the same digest. A contract must not break those who use its last
/// image: what would is listed, and is the business of the next major version.
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// Folder of the crate
    #[arg(default_value = ".")]
    folder: PathBuf,

    /// Tag of the image (can be repeated)
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: Vec<Tag>,

    /// Profile of cargo
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,

    /// Build in the release profile, as without this option
    #[arg(long, conflicts_with = "profile")]
    release: bool,

    /// Features of the crate, separated by commas (can be repeated)
    #[arg(long, short = 'F', value_name = "FEATURES")]
    features: Vec<String>,

    /// Pack this program, which was built already, instead of a crate
    #[arg(long, value_name = "FILE", requires = "manifest", conflicts_with_all = ["folder", "profile", "release", "features"])]
    binary: Option<PathBuf>,

    /// Manifest of the program, a JSON file; alone, of a contract
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folder", "profile", "release", "features"])]
    manifest: Option<PathBuf>,

    /// Push the image to its registry
    #[arg(long)]
    push: bool,

    /// Build a contract even if it breaks those who use its last image
    #[arg(long)]
    allow_breaking: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(BuildReport);

impl View for Shown {
    fn draw(&self) -> Drawing {
        let BuildReport {
            identity,
            tags,
            digest,
            size,
            ..
        } = &self.0;
        let names = tags
            .iter()
            .map(|tag| format!("{STRONG}{identity}:{tag}{STRONG:#}\n"));
        Drawing::Text(format!(
            "{}{digest} ({})",
            names.collect::<String>(),
            size_text(*size)
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: BuildArgs) -> Result<(), CommandError> {
    let store = images::open_store(app)?;
    let (built, what) = make(app, &args)?;
    published::check(app, &built, &args, &store)?;
    let image = build::pack(&built, &args.tag, &store)
        .map_err(|why| CommandError::failed(format!("cannot build `{what}`")).because(why))?;
    let report = BuildReport::new(&built, &args.tag, &image);
    if args.push {
        push(app, &store, &report)?;
    }
    app.ui.show(&Shown(report))
}

/// Makes what is packed: by cargo, or from files.
fn make(app: &App, args: &BuildArgs) -> Result<(Built, String), CommandError> {
    if let Some(manifest) = &args.manifest {
        let what = args.binary.as_ref().unwrap_or(manifest).display().to_string();
        let built = build::from_files(manifest, args.binary.as_deref());
        return Ok((built.map_err(|error| explain(error, &what))?, what));
    }
    let what = args.folder.display().to_string();
    let options = BuildOptions {
        crate_dir: args.folder.clone(),
        profile: args.profile.clone(),
        features: args.features.clone(),
        tags: args.tag.clone(),
    };
    app.ui.say(format_args!("Building {what}"));
    let built = build::compile(&options).map_err(|error| explain(error, &what))?;
    Ok((built, what))
}

fn push(app: &App, store: &Store, report: &BuildReport) -> Result<(), CommandError> {
    let image = reside_image::ResolvedImage {
        identity: report.identity.clone(),
        digest: report.digest,
    };
    app.block_on(images::push(app, store, &image, &report.tags))
}

pub(super) fn explain(error: BuildError, what: &str) -> CommandError {
    let failed = format!("cannot build `{what}`");
    match error {
        BuildError::NoCrate(_) => CommandError::usage(failed)
            .because(error)
            .help("name the folder of a crate: `reside build FOLDER`"),
        BuildError::CargoFailed(_) => CommandError::failed(failed)
            .because(error)
            .help("cargo's messages are above"),
        BuildError::Cargo(_) => CommandError::failed(failed)
            .because(error)
            .help("install Rust: https://rustup.rs"),
        BuildError::NoBinary(_) => CommandError::usage(failed)
            .because(error)
            .help("name the program too: `--binary FILE`"),
        error => CommandError::failed(failed).because(error),
    }
}
