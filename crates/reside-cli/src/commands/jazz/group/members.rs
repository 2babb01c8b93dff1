//! `reside jazz group members`

use clap::Args;
use jazz::{AccountId, CoId, Group, LoadError, Role};
use serde::Serialize;

use crate::cli::App;
use crate::commands::jazz::session::{Session, SessionArgs};
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View};

/// Show who has a role in a group
#[derive(Args, Debug)]
pub struct MembersArgs {
    /// Group
    group: CoId,
}

#[derive(Serialize)]
struct Members {
    members: Vec<Row>,
    everyone: Option<&'static str>,
    parents: Vec<CoId>,
}

#[derive(Serialize)]
struct Row {
    account: AccountId,
    role: &'static str,
}

impl Members {
    fn of(group: &Group) -> Result<Self, LoadError> {
        let members = group.members()?.into_iter().map(|member| Row {
            account: member.account,
            role: member.role.as_str(),
        });
        let parents = group.parents()?.into_iter().map(CoId::from);
        Ok(Self {
            members: members.collect(),
            everyone: group.everyone().map(Role::as_str),
            parents: parents.collect(),
        })
    }
}

impl View for Members {
    fn draw(&self) -> Drawing {
        let mut members = Table::new(["ACCOUNT", "ROLE"], "There are none");
        for row in &self.members {
            members.row([row.account.to_string(), row.role.to_owned()]);
        }
        let mut fields = Fields::default();
        fields.field("everyone", self.everyone.unwrap_or("nothing"));
        for parent in &self.parents {
            fields.field("members of", parent.as_str());
        }
        fields.table("Members", members);
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: MembersArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = session.group(&args.group).await?;
        let members = Members::of(&group).map_err(|error| session.cannot_load(error))?;
        app.ui.show(&members)
    })
}
