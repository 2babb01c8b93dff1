//! What `reside` is when it isn't a command: a replica of the system, or the first moment of a supervised process.
//! Neither has a terminal, a configuration or global options.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Subcommand;

use super::Command;
use crate::error::CommandError;

/// Replicas of the system wait more than they work.
const THREADS: usize = 2;

#[derive(Debug, Subcommand)]
pub enum Process {
    /// Run a replica of the system
    #[command(hide = true, name = "replica-main")]
    Replica {
        /// Which
        name: String,
    },
    /// Become a program that ends with its supervisor
    #[command(hide = true, name = "supervised")]
    Supervised {
        /// The program
        program: OsString,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

impl Command {
    /// Returns the process that this is instead of a command.
    #[expect(clippy::result_large_err, reason = "there is one command per process")]
    pub fn into_process(self) -> Result<Process, Self> {
        match self {
            Self::Process(process) => Ok(process),
            command => Err(command),
        }
    }
}

impl Process {
    /// Runs until it ends.
    pub fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Supervised { program, arguments } => {
                let error = reside_local::trampoline::exec(&program, &arguments);
                Err(CommandError::failed(format!("cannot run `{}`", program.display())).because(error))
            }
            Self::Replica { name } => replica(&name),
        }
    }
}

/// Runs a replica of the system. It reads its environment, logs and ends as any other replica.
fn replica(name: &str) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|why| CommandError::failed("cannot start threads").because(why))?;
    match name {
        "alpha" => Ok(runtime.block_on(reside::start_replica(alpha::definition(), alpha::run))),
        "local-sentinel" => Ok(runtime.block_on(reside::start_replica(
            local_sentinel::definition(),
            local_sentinel::run,
        ))),
        "user-manager" => Ok(runtime.block_on(reside::start_replica(
            user_manager::definition(),
            user_manager::run,
        ))),
        "secret" => Ok(runtime.block_on(reside::start_replica(secret::definition(), secret::run))),
        "seed" => Ok(runtime.block_on(reside::start_replica(seed::definition(), seed::run))),
        _ => Err(CommandError::usage(format!(
            "there is no system replica `{name}`"
        ))),
    }
}
