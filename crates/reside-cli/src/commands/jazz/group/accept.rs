//! `reside jazz group accept`

use clap::Args;
use jazz::{CoId, InviteSecret, WriteError};

use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;

/// Become a member of a group by an invite
#[derive(Args, Debug)]
pub struct AcceptArgs {
    /// Group
    group: CoId,

    /// Secret of the invite
    secret: InviteSecret,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: AcceptArgs) -> Result<(), CommandError> {
    let id = &args.group;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.node().accept_invite(id, &args.secret).await;
        let group = group.map_err(|error| match error {
            WriteError::NotAllowed { .. } => {
                CommandError::failed(format!("{id} knows no such invite, or has revoked it"))
            }
            error => session.cannot_write(error),
        })?;
        session.sync().await?;
        let role = group.my_role().map_or("without a role", |role| role.as_str());
        app.ui
            .say(format_args!("{} is now {role} in {id}", session.account().name));
        Ok(())
    })
}
