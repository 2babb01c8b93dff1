//! `reside jazz create map`

use clap::Args;

use super::{OwnerArgs, create};
use crate::cli::App;
use crate::commands::jazz::session::SessionArgs;
use crate::error::CommandError;
use crate::json;

/// Create a map
#[derive(Args, Debug)]
pub struct MapArgs {
    /// Its keys and values, as a JSON object; the id of another value, as text, is a reference to it
    #[arg(default_value = "{}")]
    fields: String,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: MapArgs) -> Result<(), CommandError> {
    let fields = json::object("`FIELDS`", &args.fields)?;
    create(app, session, &args.owner, |session, group| {
        let map = session.node().create_record(group, fields)?;
        Ok(map.id().clone())
    })
}
