//! `reside registry plain-http`

use clap::Args;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Speak to a registry without TLS
///
/// Whoever is on the way can then read passwords and exchange what a tag stands for. Registries of this machine need no
/// such setting.
#[derive(Args, Debug)]
pub struct PlainHttpArgs {
    /// Registry, as `registry.local:5000`
    #[arg(value_parser = super::registry_name)]
    registry: String,

    /// Use TLS again
    #[arg(long)]
    remove: bool,
}

/// Runs the command.
pub fn run(app: &App, args: PlainHttpArgs) -> Result<(), CommandError> {
    images::edit_settings(app, |settings| {
        match args.remove {
            true => settings.plain_http.remove(&args.registry),
            false => settings.plain_http.insert(args.registry),
        };
        Ok(())
    })?;
    super::list::show(app)
}
