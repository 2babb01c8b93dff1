//! Secrets and configuration values.

mod edit;
mod get;
mod list;
mod set;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::ui::{Drawing, STRONG, View};

/// List, read and change secrets and configuration values
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    List(list::ListArgs),
    Get(get::GetArgs),
    Set(set::SetArgs),
    Edit(edit::EditArgs),
}

/// Runs one of them.
pub fn run(app: &App, command: SecretCommand) -> Result<(), CommandError> {
    match command {
        SecretCommand::List(args) => list::run(app, args),
        SecretCommand::Get(args) => get::run(app, args),
        SecretCommand::Set(args) => set::run(app, args),
        SecretCommand::Edit(args) => edit::run(app, args),
    }
}

/// A value was stored, or was the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    name: String,
    is_changed: bool,
}

impl View for Stored {
    fn draw(&self) -> Drawing {
        let what = if self.is_changed { "Changed" } else { "Kept" };
        Drawing::Text(format!("{what} the secret {STRONG}{}{STRONG:#}", self.name))
    }
}
