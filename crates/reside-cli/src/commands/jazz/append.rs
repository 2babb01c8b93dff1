//! `reside jazz append`

use clap::Args;
use jazz::{AnyValue, CoId};

use super::session::{Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;
use crate::json;

/// Append to a text or a feed
#[derive(Args, Debug)]
pub struct AppendArgs {
    /// Text or feed
    id: CoId,

    /// What to append: to a text as it is, to a feed an item as JSON
    #[arg(allow_negative_numbers = true)]
    content: String,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: AppendArgs) -> Result<(), CommandError> {
    let AppendArgs { id, content } = args;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let written = match session.load(&id).await? {
            AnyValue::Text(text) => text.push_str(&content),
            AnyValue::Feed(feed) => feed.push(&json::value("`CONTENT`", &content)?),
            other => return Err(wrong_kind(&other, "text or feed")),
        };
        written.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!("Appended to {id}"));
        Ok(())
    })
}
