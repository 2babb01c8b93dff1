//! `reside secret set`

use std::io::Read as _;

use clap::Args;

use super::Stored;
use crate::cli::App;
use crate::cluster::secrets::parse;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Longest value that is read; the schema and the replica allow less.
const INPUT_BYTES_MAX: u64 = 1024 * 1024;

/// Set the value of a secret
///
/// What is typed as an argument stays in the history of the shell; `-` reads the value from standard input instead.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Name of the secret
    name: String,

    /// The value as JSON, or `-` to read it from standard input
    #[arg(value_name = "JSON")]
    value: String,
}

/// Runs the command.
pub fn run(app: &App, args: SetArgs) -> Result<(), CommandError> {
    let text = match args.value.as_str() {
        "-" => input()?,
        _ => args.value,
    };
    let value = parse(&text)?;
    app.block_on(async {
        let session = Session::open(app).await?;
        let found = session.secret(&args.name).await?;
        found
            .set(value)
            .await
            .map_err(|error| session.secret_failed(error, &args.name))?;
        app.ui.show(&Stored {
            name: args.name,
            is_changed: true,
        })
    })
}

fn input() -> Result<String, CommandError> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(|why| CommandError::failed("cannot read the value from standard input").because(why))?;
    Ok(text)
}
