//! `reside jazz group remove`

use clap::Args;
use jazz::{CoId, Group, LoadError};

use super::Member;
use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;

/// Take an account out of a group
///
/// What is written from then on it can't read. What it may do by a parent group it keeps.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// Group
    group: CoId,

    /// Id of the account, or `everyone`
    member: Member,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: RemoveArgs) -> Result<(), CommandError> {
    let RemoveArgs { group, member } = args;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.group(&group).await?;
        if !is_member(&group, &member).map_err(|error| session.cannot_load(error))? {
            let id = group.id();
            return Err(CommandError::failed(format!("{member} is not a member of {id}"))
                .help(format!("`reside jazz group members {id}` shows who is")));
        }
        let removed = match &member {
            Member::Everyone => group.remove_everyone().await,
            Member::Account(account) => group.remove_member(account).await,
        };
        removed.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!("Removed {member} from {}", group.id()));
        Ok(())
    })
}

fn is_member(group: &Group, member: &Member) -> Result<bool, LoadError> {
    Ok(match member {
        Member::Everyone => group.everyone().is_some(),
        Member::Account(account) => group.members()?.iter().any(|member| member.account == *account),
    })
}
