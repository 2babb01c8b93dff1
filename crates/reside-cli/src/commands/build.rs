//! `reside build`

use std::path::PathBuf;

use clap::Args;
use reside_image::build::{self, BuildError, BuildOptions, BuildReport};
use reside_image::{Store, Tag};
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::files;
use crate::ui::{Drawing, STRONG, View, size_text};

/// Build a contract or a replica into an image in the local store
///
/// Builds the crate in a folder with cargo, asks the program for its manifest, and stores the image under the identity
/// that the manifest names. The same sources give the same digest.
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Built<'a> {
    identity: String,
    tag: String,
    tags: Vec<String>,
    digest: String,
    #[serde(rename = "type")]
    kind: &'a reside_image::Kind,
    size: u64,
}

impl View for Built<'_> {
    fn draw(&self) -> Drawing {
        let names = self
            .tags
            .iter()
            .map(|tag| format!("{STRONG}{}:{tag}{STRONG:#}\n", self.identity));
        Drawing::Text(format!(
            "{}{} ({})",
            names.collect::<String>(),
            self.digest,
            size_text(self.size)
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: BuildArgs) -> Result<(), CommandError> {
    let path = app.paths.images();
    files::create_folder(&path)?;
    let store = Store::open(&path).map_err(|why| {
        CommandError::failed(format!("cannot use the image store `{}`", path.display())).because(why)
    })?;
    let options = BuildOptions {
        crate_dir: args.folder.clone(),
        profile: args.profile,
        tags: args.tag,
    };
    app.ui.say(format_args!("Building {}", args.folder.display()));
    let report = build::build(&options, &store).map_err(|error| explain(error, &args.folder))?;
    app.ui.show(&built(&report))
}

fn built(report: &BuildReport) -> Built<'_> {
    let tags: Vec<_> = report.tags.iter().map(ToString::to_string).collect();
    Built {
        identity: report.identity.to_string(),
        tag: tags.first().cloned().unwrap_or_default(),
        tags,
        digest: report.digest.to_string(),
        kind: &report.kind,
        size: report.size,
    }
}

pub(super) fn explain(error: BuildError, folder: &std::path::Path) -> CommandError {
    let what = format!("cannot build `{}`", folder.display());
    match error {
        BuildError::NoCrate(_) => CommandError::usage(what)
            .because(error)
            .help("name the folder of a crate: `reside build FOLDER`"),
        BuildError::CargoFailed(_) => CommandError::failed(what)
            .because(error)
            .help("cargo's messages are above"),
        BuildError::Cargo(_) => CommandError::failed(what)
            .because(error)
            .help("install Rust: https://rustup.rs"),
        error => CommandError::failed(what).because(error),
    }
}
