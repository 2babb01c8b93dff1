//! `reside jazz upload`

use std::path::{Path, PathBuf};

use clap::Args;
use jazz::{AnyValue, Co, CoId, FileInfo, FileStream};
use tokio::fs::File;

use super::create::file::MediaTypeArgs;
use super::create::{Created, OwnerArgs};
use super::session::{Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;

/// Upload a file, and print its id
#[derive(Args, Debug)]
pub struct UploadArgs {
    /// File on this machine
    file: PathBuf,

    #[command(flatten)]
    media_type: MediaTypeArgs,

    #[command(flatten)]
    owner: OwnerArgs,

    /// File that `reside jazz create file` has made, to be filled instead of a new one
    #[arg(long, value_name = "ID", conflicts_with_all = ["media_type", "group"])]
    into: Option<CoId>,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: UploadArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let (bytes, size) = open(&args.file).await?;
        let session = Session::open(app, session).await?;
        let file = match &args.into {
            Some(id) => find(&session, id).await?,
            None => {
                let name = args
                    .file
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                let info = args.media_type.info(name).sized(size);
                start(&session, &args.owner, info).await?
            }
        };
        let progress = app.ui.progress(format!("Uploading {}", args.file.display()));
        let written = file.write_from(bytes).await;
        written.map_err(|error| session.cannot_transfer(error))?;
        session.sync().await?;
        drop(progress);
        let (id, group) = (file.id().clone(), file.owner().id().clone());
        app.ui.show(&Created { id, group })
    })
}

async fn open(path: &Path) -> Result<(File, u64), CommandError> {
    let failed = |why| CommandError::failed(format!("cannot read `{}`", path.display())).because(why);
    let file = File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(CommandError::failed(format!(
            "`{}` is not a file",
            path.display()
        )));
    }
    Ok((file, metadata.len()))
}

async fn find(session: &Session, id: &CoId) -> Result<Co<FileStream>, CommandError> {
    match session.load(id).await? {
        AnyValue::File(file) => Ok(file),
        other => Err(wrong_kind(&other, "file")),
    }
}

async fn start(session: &Session, owner: &OwnerArgs, info: FileInfo) -> Result<Co<FileStream>, CommandError> {
    let group = owner.group(session).await?;
    let started = session.node().start_file(&group, info);
    started.map_err(|error| session.cannot_write(error))
}
