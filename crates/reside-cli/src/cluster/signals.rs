//! SIGINT and SIGTERM: the first asks the process to stop in order, the second ends it at once.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::CommandError;

/// Listens from now on; the future is ready when somebody wants the process to stop.
pub fn stop_requested() -> Result<impl Future<Output = ()> + Send + 'static, CommandError> {
    let failed = |why| CommandError::failed("cannot listen to signals").because(why);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

/// The same, also if the terminal is closed.
pub fn stop_requested_or_hangup() -> Result<impl Future<Output = ()> + Send + 'static, CommandError> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|why| CommandError::failed("cannot listen to signals").because(why))?;
    let stop = stop_requested()?;
    Ok(async move {
        tokio::select! {
            () = stop => {}
            _ = hangup.recv() => {}
        }
    })
}
