//! `reside jazz create text`

use clap::Args;

use super::{OwnerArgs, create};
use crate::cli::App;
use crate::commands::jazz::session::SessionArgs;
use crate::error::CommandError;

/// Create a text that several can edit at once
#[derive(Args, Debug)]
pub struct TextArgs {
    /// What it says
    #[arg(default_value = "")]
    text: String,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: TextArgs) -> Result<(), CommandError> {
    create(app, session, &args.owner, |session, group| {
        let text = session.node().create_text(group, &args.text)?;
        Ok(text.id().clone())
    })
}
