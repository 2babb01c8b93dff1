//! Calls of one process to another: first one after another, then several at a time.

use std::future::Future;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::process::{Steps, tell};
use crate::stats::{Latencies, round};

/// How many calls.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct Calls {
    /// Calls one after another
    #[arg(long, default_value_t = 1_000)]
    pub seq: usize,
    /// Calls at a time
    #[arg(long, default_value_t = 20_000)]
    pub conc: usize,
    /// How many at a time
    #[arg(long, default_value_t = 16)]
    pub width: usize,
}

/// Calls before anything is measured.
const WARM_UP: usize = 30;

/// What a phase came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Phase {
    /// Calls per second.
    pub per_s: f64,
    /// Of single calls.
    pub latencies: Latencies,
}

impl Calls {
    /// The caller's side: warms up, then runs each phase when told to. The closure makes one call with a text and
    /// returns the text that it was answered with.
    pub async fn run<F, Fut>(self, steps: &mut Steps, call: F) -> Result<(), Error>
    where
        F: Fn(String) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<String, Error>> + Send + 'static,
    {
        repeat(WARM_UP, 0, call.clone()).await?;
        tell(&"warm")?;
        for (count, width) in [(self.seq, 1), (self.conc, self.width)] {
            steps.next().await;
            let start = Instant::now();
            let loops: Vec<_> = (0..width)
                .map(|number| {
                    let share = count / width + usize::from(number < count % width);
                    tokio::spawn(repeat(share, number, call.clone()))
                })
                .collect();
            let mut calls = Vec::with_capacity(count);
            for each in loops {
                calls.extend(each.await??);
            }
            tell(&Phase {
                per_s: round(count as f64 / start.elapsed().as_secs_f64(), 1),
                latencies: Latencies::of(calls),
            })?;
        }
        Ok(())
    }
}

async fn repeat<F, Fut>(count: usize, number: usize, call: F) -> Result<Vec<Duration>, Error>
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = Result<String, Error>>,
{
    let mut calls = Vec::with_capacity(count);
    for index in 0..count {
        let text = format!("hello {number}/{index}");
        let start = Instant::now();
        let answer = call(text.clone()).await?;
        calls.push(start.elapsed());
        if answer != text {
            return Err(format!("`{text}` was answered with `{answer}`").into());
        }
    }
    Ok(calls)
}
