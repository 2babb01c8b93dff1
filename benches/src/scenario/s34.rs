//! S3: many small CoMaps are made until the server has them. S4: the server starts again, and a client that has
//! nothing loads them all by their ids.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jazz::{CoId, CoRecord, Ref};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::process::{Child, CpuClock, Steps, tell};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, accounts};
use crate::stats::{millis, round};

/// How many CoMaps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct Options {
    /// CoMaps
    #[arg(long, default_value_t = 5_000)]
    pub n: usize,
    /// Sets in each, one transaction each
    #[arg(long, default_value_t = 5)]
    pub sets: usize,
}

/// What both roles are told.
#[derive(Serialize, Deserialize)]
pub struct Args {
    url: String,
    account: AccountArgs,
    options: Options,
    /// The file with the ids: written by S3, read by S4.
    ids: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Written {
    create_ms: f64,
    total_ms: f64,
}

/// CoMaps after which the client lets others run.
const YIELD_EACH: usize = 100;
/// A client comes to rest.
const REST: Duration = Duration::from_millis(500);

/// Runs both once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let (mut s3, server, args) = ingest(options, directory, false)?;
    let server = server.restart()?;
    let url = server.url.clone();
    let s4 = load(&Args { url, ..args }, &server, directory)?;
    server.stop()?;
    let stricter = directory.join("power-loss");
    std::fs::create_dir(&stricter)?;
    let (figures, server, _) = ingest(options, &stricter, true)?;
    server.stop()?;
    s3["survives_power_loss"] = json!({
        "total_ms": figures["total_ms"], "server_cpu_s": figures["server_cpu_s"], "client_cpu_s": figures["client_cpu_s"],
    });
    Ok(json!({"s3": s3, "s4": s4}))
}

fn ingest(
    options: Options,
    directory: &Path,
    survives_power_loss: bool,
) -> Result<(Value, SyncServer, Args), Error> {
    let server = SyncServer::start_on(&directory.join("sync.db"), survives_power_loss)?;
    let args = Args {
        url: server.url.clone(),
        account: accounts(&server, 1, directory)?.remove(0),
        options,
        ids: directory.join("ids.json"),
    };
    let mut client = Child::start("s3", &args, directory)?;
    client.line()?;
    std::thread::sleep(REST);
    let (stored, idle) = (server.stored()?, server.memory()?);
    client.go()?;
    let clock = CpuClock::start([server.child(), &client])?;
    let written: Written = client.read()?;
    let [server_cpu, client_cpu] = clock.elapsed()?;
    let figures = json!({
        "create_ms": written.create_ms,
        "total_ms": written.total_ms,
        "maps_per_s": round(options.n as f64 / written.total_ms * 1000.0, 1),
        "server_cpu_s": server_cpu,
        "client_cpu_s": client_cpu,
        "server_rss_idle": idle.rss,
        "server": server.memory()?,
        "client": client.memory()?,
        "db_per_map": server.stored()?.since(&stored, options.n),
    });
    client.stop()?;
    Ok((figures, server, args))
}

fn load(args: &Args, server: &SyncServer, directory: &Path) -> Result<Value, Error> {
    let mut client = Child::start("s4", args, directory)?;
    client.line()?;
    std::thread::sleep(REST);
    let before = (server.memory()?, client.memory()?);
    client.go()?;
    let clock = CpuClock::start([server.child(), &client])?;
    let load_ms: f64 = client.read()?;
    let [server_cpu, client_cpu] = clock.elapsed()?;
    let figures = json!({
        "load_ms": load_ms,
        "maps_per_s": round(args.options.n as f64 / load_ms * 1000.0, 1),
        "server_cpu_s": server_cpu,
        "client_cpu_s": client_cpu,
        "server_rss_before": before.0.rss,
        "server": server.memory()?,
        "client_rss_before": before.1.rss,
        "client": client.memory()?,
    });
    client.stop()?;
    Ok(figures)
}

fn key(number: usize) -> String {
    format!("k{number}")
}

fn value(map: usize, number: usize) -> String {
    format!("value {map}/{number}")
}

/// Makes the CoMaps.
pub async fn ingest_role(args: Args) -> Result<(), Error> {
    let node = args.account.connect(&args.url).await?;
    let Options { n, sets } = args.options;
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    let start = Instant::now();
    let group = node.create_group()?;
    let mut ids = Vec::with_capacity(n);
    for number in 0..n {
        let map = node.create_record::<String, String>(&group, [])?;
        for index in 0..sets {
            map.insert(key(index), &value(number, index))?;
        }
        ids.push(map.id().clone());
        if (number + 1) % YIELD_EACH == 0 {
            tokio::task::yield_now().await;
        }
    }
    let created = start.elapsed();
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    tell(&Written {
        create_ms: millis(created),
        total_ms: millis(start.elapsed()),
    })?;
    std::fs::write(&args.ids, serde_json::to_vec(&ids)?)?;
    steps.finished().await;
    Ok(())
}

/// Loads them.
pub async fn load_role(args: Args) -> Result<(), Error> {
    let ids: Vec<CoId> = serde_json::from_slice(&std::fs::read(&args.ids)?)?;
    let node = args.account.connect(&args.url).await?;
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    let start = Instant::now();
    let references: Vec<_> = ids.into_iter().map(Ref::<CoRecord<String>>::new).collect();
    let maps = try_join_all(references.iter().map(|reference| node.load(reference))).await?;
    let took = start.elapsed();
    let last = args.options.sets - 1;
    for (number, map) in maps.iter().enumerate() {
        if map.get(key(last))? != Some(value(number, last)) {
            return Err(format!("map {number} is not as it was written").into());
        }
    }
    tell(&millis(took))?;
    steps.finished().await;
    Ok(())
}
