//! New values.

mod feed;
pub mod file;
mod group;
mod list;
mod map;
mod text;

use clap::{Args, Subcommand};
use jazz::{CoId, Group, WriteError};
use serde::Serialize;
use serde_json::Value;

use super::session::{Session, SessionArgs};
use crate::cli::App;
use crate::error::CommandError;
use crate::json;
use crate::ui::{Drawing, View};

/// Create a value, and print its id
#[derive(Debug, Subcommand)]
pub enum CreateCommand {
    Map(map::MapArgs),
    List(list::ListArgs),
    Feed(feed::FeedArgs),
    Text(text::TextArgs),
    File(file::FileArgs),
    Group(group::GroupArgs),
}

/// Runs one of them.
pub fn run(app: &App, session: &SessionArgs, command: CreateCommand) -> Result<(), CommandError> {
    match command {
        CreateCommand::Map(args) => map::run(app, session, args),
        CreateCommand::List(args) => list::run(app, session, args),
        CreateCommand::Feed(args) => feed::run(app, session, args),
        CreateCommand::Text(args) => text::run(app, session, args),
        CreateCommand::File(args) => file::run(app, session, args),
        CreateCommand::Group(args) => group::run(app, session, args),
    }
}

/// Who may read and write a new value.
#[derive(Args, Debug)]
pub struct OwnerArgs {
    /// Group that owns it, instead of a new one with you as its admin
    #[arg(long, value_name = "ID")]
    group: Option<CoId>,
}

impl OwnerArgs {
    /// Finds or makes the group.
    pub async fn group(&self, session: &Session) -> Result<Group, CommandError> {
        match &self.group {
            Some(id) => session.group(id).await,
            None => session
                .node()
                .create_group()
                .map_err(|error| session.cannot_write(error)),
        }
    }
}

/// What was made. A script gets the id alone.
#[derive(Serialize)]
pub struct Created {
    /// Its id.
    pub id: CoId,
    /// The group that owns it.
    pub group: CoId,
}

impl View for Created {
    fn draw(&self) -> Drawing {
        Drawing::Text(self.id.to_string())
    }
}

/// Makes a value that `make` makes in a group, and shows it.
fn create(
    app: &App,
    session: &SessionArgs,
    owner: &OwnerArgs,
    make: impl FnOnce(&Session, &Group) -> Result<CoId, WriteError>,
) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let group = owner.group(&session).await?;
        let id = make(&session, &group).map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        let group = group.id().clone();
        app.ui.show(&Created { id, group })
    })
}

/// Reads the items of a new list or feed.
fn items(text: &str) -> Result<Vec<Value>, CommandError> {
    match json::value("`ITEMS`", text)? {
        Value::Array(items) => Ok(items),
        _ => Err(CommandError::usage("`ITEMS` are not a JSON array").help("as in '[1,\"two\"]'")),
    }
}
