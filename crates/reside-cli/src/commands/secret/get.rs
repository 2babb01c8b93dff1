//! `reside secret get`

use clap::Args;

use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Print the value of a secret, as JSON
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Name of the secret
    name: String,
}

/// Runs the command.
pub fn run(app: &App, args: GetArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let found = session.secret(&args.name).await?;
        let value = found
            .value()
            .map_err(|error| session.secret_failed(error, &args.name))?;
        match value {
            Some(value) => app.ui.json(&value),
            None => Err(
                CommandError::failed(format!("the secret `{}` has no value", args.name))
                    .help(format!("`reside secret edit {}` sets one", args.name)),
            ),
        }
    })
}
