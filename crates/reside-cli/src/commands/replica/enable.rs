//! `reside replica enable`

use clap::Args;

use super::disable::{Switch, SwitchArgs};
use crate::cli::App;
use crate::error::CommandError;

/// Enable a replica that was disabled
#[derive(Args, Debug)]
pub struct EnableArgs {
    #[command(flatten)]
    switch: SwitchArgs,
}

/// Runs the command.
pub fn run(app: &App, args: EnableArgs) -> Result<(), CommandError> {
    super::disable::switch(app, &args.switch, Switch::On)
}
