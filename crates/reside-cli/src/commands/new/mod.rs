//! Crates to begin with.

mod sdk;
mod template;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reside::Identity;
use serde::Serialize;

use self::sdk::Sdk;
use self::template::{Kind, Template};
use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// Make the crate of a new contract or replica
#[derive(Debug, Subcommand)]
pub enum NewCommand {
    Contract(ContractArgs),
    Replica(ReplicaArgs),
}

/// Make the crate of a contract, with a test
///
/// In a clone of ReSide it belongs to the workspace and lies in `contracts/`; elsewhere it is a crate of its own in the
/// current folder.
#[derive(Args, Debug)]
pub struct ContractArgs {
    /// Name, with the major version if it isn't the first: `notes`, `notes.v2`
    name: String,

    #[command(flatten)]
    options: Options,
}

/// Make the crate of a replica, with a test
///
/// In a clone of ReSide it belongs to the workspace and lies in `replicas/`; elsewhere it is a crate of its own in the
/// current folder.
#[derive(Args, Debug)]
pub struct ReplicaArgs {
    /// Name: lower-case letters, digits and dashes
    name: String,

    #[command(flatten)]
    options: Options,
}

#[derive(Args, Debug)]
struct Options {
    /// Folder of the crate; it must not exist yet or be empty
    folder: Option<PathBuf>,

    /// Image name under which it will be published
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<Identity>,

    /// Clone of ReSide whose SDK to use, instead of the published one
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    folder: PathBuf,
    identity: String,
    files: Vec<PathBuf>,
}

impl View for Made {
    fn draw(&self) -> Drawing {
        Drawing::Text(format!(
            "Made {STRONG}{}{STRONG:#} in {}",
            self.identity,
            self.folder.display()
        ))
    }
}

/// Runs one of them.
pub fn run(app: &App, command: NewCommand) -> Result<(), CommandError> {
    match command {
        NewCommand::Contract(args) => make(app, Kind::Contract, &args.name, args.options),
        NewCommand::Replica(args) => make(app, Kind::Replica, &args.name, args.options),
    }
}

fn make(app: &App, kind: Kind, name: &str, options: Options) -> Result<(), CommandError> {
    let here = std::env::current_dir()
        .map_err(|why| CommandError::failed("cannot find the current folder").because(why))?;
    let workspace = sdk::workspace_around(&here);
    let template = Template::new(kind, name, workspace.is_some(), options.identity)?;
    let folder = match (&options.folder, &workspace) {
        (Some(folder), _) => here.join(folder),
        (None, Some(root)) => root.join(kind.folder()).join(template.folder_name()),
        (None, None) => here.join(template.folder_name()),
    };
    let sdk = match &options.sdk {
        Some(clone) => Sdk::at(&here.join(clone))?,
        None => Sdk::for_crate_in(&folder),
    };
    let files = template.files(&sdk);
    check_empty(&folder)?;
    for (path, content) in &files {
        write(&folder.join(path), content)?;
    }
    let identity = template.identity().to_string();
    let shown = folder.strip_prefix(&here).unwrap_or(&folder).to_owned();
    next_steps(app, kind, &shown, &identity);
    let files = files.into_iter().map(|(path, _)| PathBuf::from(path)).collect();
    app.ui.show(&Made {
        folder: shown,
        identity,
        files,
    })
}

fn next_steps(app: &App, kind: Kind, folder: &Path, identity: &str) {
    let folder = folder.display();
    app.ui.hint(format_args!(
        "test it: `cargo test --manifest-path {folder}/Cargo.toml`"
    ));
    match kind {
        Kind::Contract => app
            .ui
            .hint(format_args!("build its image: `reside build {folder}`")),
        Kind::Replica => {
            app.ui.hint(format_args!(
                "run it: `reside build {folder}`, then `reside replica load {identity}:latest`"
            ));
            app.ui
                .hint(format_args!("work on it while it runs: `reside dev {folder}`"));
        }
    }
}

fn check_empty(folder: &Path) -> Result<(), CommandError> {
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if is_empty && !folder.is_file() {
        return Ok(());
    }
    Err(
        CommandError::usage(format!("`{}` is there already", folder.display()))
            .help("name another folder, or remove this one"),
    )
}

fn write(path: &Path, content: &str) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .map_err(|why| CommandError::failed(format!("cannot write `{}`", path.display())).because(why))
}
