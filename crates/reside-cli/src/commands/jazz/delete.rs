//! `reside jazz delete`

use clap::Args;
use jazz::{AnyValue, CoId};

use super::session::{Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;

/// Delete a value for everybody
///
/// Only an admin of its group can. Groups and accounts can't be deleted.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// Value
    id: CoId,

    /// Delete without asking
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: DeleteArgs) -> Result<(), CommandError> {
    let id = &args.id;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let value = session.load(id).await?;
        if matches!(value, AnyValue::Group(_) | AnyValue::Account(_)) {
            return Err(wrong_kind(&value, "value that can be deleted"));
        }
        let question = format!("Delete the {} {id} for everybody?", value.kind());
        if !app.ui.confirm(&question, args.yes)? {
            app.ui.say(format_args!("Kept {id}"));
            return Ok(());
        }
        value.delete().map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!("Deleted {id}"));
        Ok(())
    })
}
