//! `reside jazz watch`

use clap::Args;
use jazz::CoId;

use super::session::{Session, SessionArgs};
use crate::cli::App;
use crate::cluster::signals;
use crate::error::CommandError;

/// Print a value now and whenever it changes, one line of JSON each
///
/// Runs until it is stopped by SIGINT or SIGTERM.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Value
    id: CoId,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: WatchArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let stop = signals::stop_requested()?;
        let session = Session::open(app, session).await?;
        tokio::select! {
            ended = print_changes(app, &session, &args.id) => ended,
            () = stop => Ok(()),
        }
    })
}

async fn print_changes(app: &App, session: &Session, id: &CoId) -> Result<(), CommandError> {
    // Watched before it is read, so that no change falls between.
    let mut watch = session.node().driver().watch(id);
    let mut printed = None;
    loop {
        let value = session.node().to_json(id, 0).await;
        let value = value.map_err(|error| session.cannot_load(error))?;
        if printed.as_ref() != Some(&value) {
            app.ui.json_line(&value)?;
            printed = Some(value);
        }
        watch.changed().await;
    }
}
