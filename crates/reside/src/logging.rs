//! The log of a replica: to standard error, filtered by `RESIDE_LOG`, in the form of `RESIDE_LOG_FORMAT`.

use std::{env, io, io::IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::{ConfigError, LOG, LOG_FORMAT, LogFormat};

const FILTER_DEFAULT: &str = "info";

/// Starts the log. A second start in one process changes nothing. What is wrong with the variables is returned, and the
/// log started as if they were absent.
pub fn init_logging() -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let filter = variable(LOG)
        .map(|text| EnvFilter::try_new(text).map_err(|error: ParseError| (LOG, error.to_string())));
    let format =
        variable(LOG_FORMAT).map(|text| text.parse().map_err(|error: &str| (LOG_FORMAT, error.to_owned())));
    let mut note = |(name, error): (&str, String)| problems.push(format!("{name} is not valid: {error}"));
    let filter = filter.and_then(|filter| filter.map_err(&mut note).ok());
    let format = format
        .and_then(|format| format.map_err(&mut note).ok())
        .unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(FILTER_DEFAULT)))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // An error means that the process has a log already.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder.try_init(),
    };
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError(problems))
    }
}
