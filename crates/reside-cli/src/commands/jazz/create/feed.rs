//! `reside jazz create feed`

use clap::Args;

use super::{OwnerArgs, create, items};
use crate::cli::App;
use crate::commands::jazz::session::SessionArgs;
use crate::error::CommandError;

/// Create a feed
#[derive(Args, Debug)]
pub struct FeedArgs {
    /// Its items, as a JSON array; the id of another value, as text, is a reference to it
    #[arg(default_value = "[]")]
    items: String,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: FeedArgs) -> Result<(), CommandError> {
    let items = items(&args.items)?;
    create(app, session, &args.owner, |session, group| {
        let feed = session.node().create_feed(group, items)?;
        Ok(feed.id().clone())
    })
}
