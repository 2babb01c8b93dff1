//! `reside jazz create list`

use clap::Args;

use super::{OwnerArgs, create, items};
use crate::cli::App;
use crate::commands::jazz::session::SessionArgs;
use crate::error::CommandError;

/// Create a list
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Its items, as a JSON array; the id of another value, as text, is a reference to it
    #[arg(default_value = "[]")]
    items: String,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: ListArgs) -> Result<(), CommandError> {
    let items = items(&args.items)?;
    create(app, session, &args.owner, |session, group| {
        let list = session.node().create_list(group, items)?;
        Ok(list.id().clone())
    })
}
