//! `reside jazz group invite`

use clap::Args;
use jazz::{CoId, InviteSecret, Role};
use serde::Serialize;

use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;
use crate::ui::{Drawing, View};

/// Make an invite, and print its secret
///
/// Whoever has the secret can make their account a member with `reside jazz group accept`, any number of times.
#[derive(Args, Debug)]
pub struct InviteArgs {
    /// Group
    group: CoId,

    /// Role to give: reader, writer, writeOnly, manager or admin
    role: Role,
}

struct Invite {
    group: CoId,
    role: Role,
    secret: InviteSecret,
}

impl Serialize for Invite {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([
            ("group", self.group.as_str()),
            ("role", self.role.as_str()),
            ("secret", self.secret.expose().as_str()),
        ])
    }
}

impl View for Invite {
    fn draw(&self) -> Drawing {
        Drawing::Text(self.secret.expose().to_string())
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: InviteArgs) -> Result<(), CommandError> {
    let InviteArgs { group, role } = args;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let invite = session.group(&group).await?.create_invite(role).await;
        let secret = invite.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.show(&Invite {
            group: group.clone(),
            role,
            secret,
        })?;
        app.ui.hint(format_args!(
            "`reside jazz group accept {group} SECRET` accepts it"
        ));
        Ok(())
    })
}
