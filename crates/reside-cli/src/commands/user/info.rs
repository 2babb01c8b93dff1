//! `reside user info`

use clap::Args;

use super::view::Shown;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Show a user and what was granted to it
///
/// What all users may do is not repeated here: `reside permission default list` shows it.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Number of the user
    id: u32,
}

/// Runs the command.
pub fn run(app: &App, args: InfoArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let (user, granted) = session.user(args.id).await?;
        app.ui.show(&Shown::new(user, granted))
    })
}
