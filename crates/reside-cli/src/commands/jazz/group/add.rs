//! `reside jazz group add`

use clap::Args;
use jazz::{CoId, Role};

use super::Member;
use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;

/// Give an account a role, or another one than it has
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Group
    group: CoId,

    /// Id of the account, or `everyone`
    member: Member,

    /// Role: reader, writer, writeOnly, manager or admin
    role: Role,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: AddArgs) -> Result<(), CommandError> {
    let AddArgs { group, member, role } = args;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.group(&group).await?;
        let added = match &member {
            Member::Everyone => group.set_everyone(role),
            Member::Account(account) => group.add_member(account, role).await,
        };
        added.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui
            .say(format_args!("{member} is now {role} in {}", group.id()));
        Ok(())
    })
}
