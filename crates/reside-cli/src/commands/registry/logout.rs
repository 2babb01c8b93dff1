//! `reside registry logout`

use clap::Args;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Forget the login for a registry
///
/// Logins of Docker stay: `docker logout` forgets them.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// Registry
    #[arg(value_parser = super::registry_name)]
    registry: String,
}

/// Runs the command.
pub fn run(app: &App, args: &LogoutArgs) -> Result<(), CommandError> {
    images::edit_settings(app, |settings| match settings.logins.remove(&args.registry) {
        Some(_) => Ok(()),
        None => Err(
            CommandError::failed(format!("there is no login for {}", args.registry))
                .help("`reside registry list` shows the logins"),
        ),
    })?;
    super::list::show(app)
}
