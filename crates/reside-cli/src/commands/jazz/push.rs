//! `reside jazz push`

use clap::Args;
use jazz::{AnyValue, CoId};

use super::session::{Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;
use crate::json;

/// Add an item at the end of a list or a feed
#[derive(Args, Debug)]
pub struct PushArgs {
    /// List or feed
    id: CoId,

    /// New item; the id of another value, as text, is a reference to it
    #[arg(allow_negative_numbers = true)]
    json: String,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: PushArgs) -> Result<(), CommandError> {
    let PushArgs { id, json } = args;
    let item = json::value("`JSON`", &json)?;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let written = match session.load(&id).await? {
            AnyValue::List(list) => list.push(&item),
            AnyValue::Feed(feed) => feed.push(&item),
            other => return Err(wrong_kind(&other, "list or feed")),
        };
        written.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!("Pushed to {id}"));
        Ok(())
    })
}
