//! `reside jazz group extend`

use clap::Args;
use jazz::{CoId, Role};

use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;

/// Make the members of another group members of this one
#[derive(Args, Debug)]
pub struct ExtendArgs {
    /// Group that gets members
    group: CoId,

    /// Group whose members these are
    parent: CoId,

    /// Role for all of them, instead of the one that each has there
    #[arg(long)]
    role: Option<Role>,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: ExtendArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.group(&args.group).await?;
        let parent = session.group(&args.parent).await?;
        let extended = match args.role {
            None => group.extend(&parent).await,
            Some(role) => group.extend_as(&parent, role).await,
        };
        extended.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!(
            "Members of {} are now members of {}",
            parent.id(),
            group.id()
        ));
        Ok(())
    })
}
