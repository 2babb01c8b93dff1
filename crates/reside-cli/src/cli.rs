//! The top of the command line: global options, the list of commands, and how the process ends.

use std::future::Future;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use crate::commands::{self, Command};
use crate::env::{self, Reader};
use crate::error::CommandError;
use crate::logging;
use crate::names::Name;
use crate::paths::Paths;
use crate::ui::{Output, Ui};

/// Run ReSide: small autonomous services that agree by contracts
///
/// `reside account create NAME` and `reside up local` make a cluster on this machine. `reside build` makes images of
/// contracts and replicas, and `reside replica load` loads them.
#[derive(Debug, Parser)]
#[command(
    name = "reside",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Form of the data on standard output
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    pub output: Output,

    /// Context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME", env = env::CONTEXT, hide_env = true)]
    pub context: Option<Name>,

    /// Cluster to use instead of the context's
    #[arg(id = "in-cluster", long = "cluster", global = true, value_name = "NAME")]
    pub cluster: Option<Name>,

    /// Account to act as instead of the context's
    #[arg(id = "as", long = "as", global = true, value_name = "ACCOUNT")]
    pub account: Option<Name>,

    /// Say nothing but data, warnings and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Log what happens to standard error; twice for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What commands work with.
#[derive(Clone, Debug)]
pub struct App {
    /// Where output goes.
    pub ui: Ui,
    /// Where state lies.
    pub paths: Paths,
    /// The global options.
    pub globals: Globals,
}

impl App {
    /// Runs what waits for others.
    pub fn block_on<T>(&self, run: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|why| CommandError::failed("cannot start threads").because(why))?;
        runtime.block_on(run)
    }
}

/// Returns the whole definition, for parsing, completions and the reference page.
pub fn definition() -> clap::Command {
    Cli::command().after_long_help(format!("Environment:\n{}", env::describe(Reader::Command)))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let parsed = definition()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // It can only fail because nobody reads it, which isn't an error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let ui = Ui::new(cli.globals.output, cli.globals.quiet);
    run(ui, cli).unwrap_or_else(|error| {
        ui.report(&error);
        error.exit_code()
    })
}

fn run(ui: Ui, cli: Cli) -> Result<ExitCode, CommandError> {
    let Cli { globals, command } = cli;
    let command = match command.into_process() {
        Ok(process) => return process.run(),
        Err(command) => command,
    };
    logging::start(globals.verbose)?;
    let app = App {
        ui,
        paths: Paths::from_environment()?,
        globals,
    };
    commands::run(&app, command)?;
    Ok(ExitCode::SUCCESS)
}
