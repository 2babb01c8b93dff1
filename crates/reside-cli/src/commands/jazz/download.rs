//! `reside jazz download`

use std::path::PathBuf;

use clap::Args;
use jazz::{AnyValue, Co, CoId, FileStream};
use tokio::fs::File;
use tokio::time::timeout;

use super::session::{LOAD_TIME, Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;

/// Download a file
#[derive(Args, Debug)]
pub struct DownloadArgs {
    /// File value
    id: CoId,

    /// Where to write it; a file that is there is replaced
    file: PathBuf,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: DownloadArgs) -> Result<(), CommandError> {
    let DownloadArgs { id, file: path } = args;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let file = match session.load(&id).await? {
            AnyValue::File(file) => file,
            other => return Err(wrong_kind(&other, "file")),
        };
        let _progress = app.ui.progress(format!("Downloading {id}"));
        wait_until_complete(&session, &file).await?;
        let mut target = File::create(&path)
            .await
            .map_err(|why| CommandError::failed(format!("cannot write `{}`", path.display())).because(why))?;
        let copied = file.copy_to(&mut target).await;
        let bytes = copied.map_err(|error| session.cannot_transfer(error))?;
        app.ui
            .say(format_args!("Wrote {bytes} bytes to {}", path.display()));
        Ok(())
    })
}

/// Waits as long as something comes. A file whose writer has given up never becomes complete.
async fn wait_until_complete(session: &Session, file: &Co<FileStream>) -> Result<(), CommandError> {
    let mut changes = file.subscribe();
    let mut here = 0;
    while let Ok(Some(status)) = timeout(LOAD_TIME, changes.next()).await {
        let status = status.map_err(|error| session.cannot_load(error))?;
        if status.is_complete {
            return Ok(());
        }
        here = status.bytes;
    }
    let seconds = LOAD_TIME.as_secs();
    Err(CommandError::failed(format!("{} is not complete", file.id()))
        .because(format!(
            "{here} bytes are here, and nothing more came for {seconds} seconds"
        ))
        .help("wait until its writer has ended it"))
}
