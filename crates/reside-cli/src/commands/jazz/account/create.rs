//! `reside jazz account create`

use clap::Args;

use crate::cli::App;
use crate::commands::account::create;
use crate::commands::jazz::session::{self, Session, SessionArgs};
use crate::error::CommandError;
use crate::names::Name;

/// Create an account on this machine and on the sync server
///
/// As `reside account create` does, but the server learns of the account at once, so that others can make it a member
/// of their groups.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name of the account, which others will see
    name: Name,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: CreateArgs) -> Result<(), CommandError> {
    let server = session.server(app)?;
    app.block_on(async {
        // Nothing is made here that the server can't be told of.
        session::reach(&server).await?;
        let created = create::create(app, &args.name)?;
        Session::open(app, &session.with_account(&args.name)).await?;
        app.ui.show(&created)
    })
}
