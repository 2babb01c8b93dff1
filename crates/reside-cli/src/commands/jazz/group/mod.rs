//! Who may do what.

mod accept;
mod add;
mod extend;
mod invite;
mod members;
mod remove;

use std::fmt;
use std::str::FromStr;

use clap::Subcommand;
use jazz::{AccountId, ParseIdError};

use super::session::SessionArgs;
use crate::cli::App;
use crate::error::CommandError;

/// Show and change the members of groups
///
/// A group owns values. Its members' roles say what they may do with these: `reader`, `writer`, `writeOnly` (writes,
/// and reads what it wrote), `manager` (also changes members below admin) and `admin`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    Members(members::MembersArgs),
    Add(add::AddArgs),
    Remove(remove::RemoveArgs),
    Extend(extend::ExtendArgs),
    Invite(invite::InviteArgs),
    Accept(accept::AcceptArgs),
}

/// Runs one of them.
pub fn run(app: &App, session: &SessionArgs, command: GroupCommand) -> Result<(), CommandError> {
    match command {
        GroupCommand::Members(args) => members::run(app, session, args),
        GroupCommand::Add(args) => add::run(app, session, args),
        GroupCommand::Remove(args) => remove::run(app, session, args),
        GroupCommand::Extend(args) => extend::run(app, session, args),
        GroupCommand::Invite(args) => invite::run(app, session, args),
        GroupCommand::Accept(args) => accept::run(app, session, args),
    }
}

/// Who gets or loses a role.
#[derive(Clone, Debug)]
enum Member {
    Everyone,
    Account(AccountId),
}

const EVERYONE: &str = "everyone";

impl FromStr for Member {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text {
            EVERYONE => Ok(Self::Everyone),
            _ => text.parse().map(Self::Account),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str(EVERYONE),
            Self::Account(account) => account.fmt(f),
        }
    }
}
