//! S7: what a server costs that has nothing to do but to keep its clients' connections.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::connect_async;

use crate::Error;
use crate::process::{Child, CpuClock, Steps, tell};
use crate::server::SyncServer;
use crate::stats::round;

/// How many clients.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Connections
    #[arg(long, default_value_t = 200)]
    pub n: usize,
}

/// What the clients' role is told.
#[derive(Serialize, Deserialize)]
pub struct Args {
    url: String,
    n: usize,
}

/// The server comes to rest.
const REST: Duration = Duration::from_secs(5);
/// For how long its CPU time is counted.
const WATCHED: Duration = Duration::from_secs(10);

/// Runs the scenario once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    std::thread::sleep(REST);
    let idle = server.memory()?.rss;
    let args = Args {
        url: server.url.clone(),
        n: options.n,
    };
    let mut clients = Child::start("s7_clients", &args, directory)?;
    clients.line()?;
    std::thread::sleep(REST);
    let connected = server.memory()?.rss;
    let clock = CpuClock::start([server.child()])?;
    std::thread::sleep(WATCHED);
    let [cpu] = clock.elapsed()?;
    clients.go()?;
    let lost: usize = clients.read()?;
    if lost > 0 {
        return Err(format!("the server has closed {lost} connections").into());
    }
    let figures = json!({
        "n": options.n, "rss0": idle, "rssN": connected,
        "kb_per_client": round((connected - idle) * 1024.0 / options.n as f64, 1),
        "server_cpu_pct_idle_with_pings": round(cpu / WATCHED.as_secs_f64() * 100.0, 1),
    });
    clients.stop()?;
    server.stop()?;
    Ok(figures)
}

/// Clients that only listen.
pub async fn clients_role(args: Args) -> Result<(), Error> {
    let mut clients = JoinSet::new();
    for _ in 0..args.n {
        let (mut socket, _) = connect_async(args.url.as_str()).await?;
        clients.spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
    }
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    // Those that were cut off would make the others look cheap.
    tell(&std::iter::from_fn(|| clients.try_join_next()).count())?;
    steps.finished().await;
    Ok(())
}
