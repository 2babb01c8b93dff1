//! Logs of the command line: nothing, unless it is asked for. They go to stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::env;
use crate::error::CommandError;

/// Logs what `RESIDE_LOG` says, or as much as `--verbose` says.
pub fn start(verbose: u8) -> Result<(), CommandError> {
    let default = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = match env::read(env::LOG) {
        Some(filter) if verbose == 0 => {
            let text = filter.to_string_lossy().into_owned();
            EnvFilter::try_new(&text).map_err(|why| {
                CommandError::usage(format!("`{text}` of {} is not a log filter", env::LOG))
                    .because(why)
                    .help("a filter is a level as `info`, or a list as `info,jazz=debug`")
            })?
        }
        _ => EnvFilter::new(default),
    };
    start_with(filter);
    Ok(())
}

fn start_with(filter: EnvFilter) {
    let is_json = env::read(env::LOG_FORMAT).is_some_and(|format| format == "json");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if is_json {
        builder.json().init();
    } else {
        builder
            .with_ansi(anstream::stderr().current_choice() != anstream::ColorChoice::Never)
            .init();
    }
}
