//! `reside jazz set`

use clap::Args;
use jazz::{AnyValue, CoId};

use super::session::{Session, SessionArgs, wrong_kind};
use crate::cli::App;
use crate::error::CommandError;
use crate::json;

/// Set a key of a map, or replace an item of a list
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Map or list
    id: CoId,

    /// Key of the map, or position in the list, from 0
    key: String,

    /// New value; the id of another value, as text, is a reference to it
    #[arg(allow_negative_numbers = true)]
    json: String,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: SetArgs) -> Result<(), CommandError> {
    let SetArgs { id, key, json } = args;
    let item = json::value("`JSON`", &json)?;
    app.block_on(async {
        let session = Session::open(app, session).await?;
        let written = match session.load(&id).await? {
            AnyValue::Map(map) => map.insert(&key, &item),
            AnyValue::List(list) => list.set(position(&key)?, &item),
            other => return Err(wrong_kind(&other, "map or list")),
        };
        written.map_err(|error| session.cannot_write(error))?;
        session.sync().await?;
        app.ui.say(format_args!("Set {key} of {id}"));
        Ok(())
    })
}

fn position(key: &str) -> Result<usize, CommandError> {
    key.parse().map_err(|_| {
        CommandError::usage(format!("`{key}` is not a position"))
            .help("the first item of a list has position 0")
    })
}
