//! The `reside` command: accounts, a cluster on one machine, images, and everything one asks a cluster for. It is also
//! the sync server and all system replicas, so that a cluster needs one file.
//!
//! Commands lie in `commands/AREA/VERB.rs`: arguments and one function each. What they share lies beside this file;
//! what is not about the command line lies in the crates below.

mod cli;
mod cluster;
mod commands;
mod config;
mod env;
mod error;
mod files;
mod images;
mod json;
mod keyring_store;
mod logging;
mod names;
mod paths;
mod secrets;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
