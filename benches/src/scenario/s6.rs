//! S6: one CoMap with a long history, written by one session; then a client that has nothing loads it.

use std::path::Path;
use std::time::{Duration, Instant};

use jazz::{CoId, CoRecord, Ref};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::process::{Child, CpuClock, Steps, tell};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, accounts};
use crate::stats::{median, millis, round};

/// How long a history.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct Options {
    /// Sets
    #[arg(long, default_value_t = 100_000)]
    pub n: usize,
}

/// What both roles are told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Args {
    url: String,
    account: AccountArgs,
    n: usize,
    map: Option<CoId>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    map: CoId,
    create_ms: f64,
    sync_ms: f64,
    /// What the last thousand sets cost, as a multiple of the second thousand.
    growth: f64,
}

/// Keys that are set in turn.
const KEYS: usize = 100;
/// Sets after which the client lets others run.
const YIELD_EACH: usize = 1_000;
/// A client comes to rest.
const REST: Duration = Duration::from_millis(300);

/// Runs the scenario once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    let mut args = Args {
        url: server.url.clone(),
        account: accounts(&server, 1, directory)?.remove(0),
        n: options.n,
        map: None,
    };
    let mut writer = Child::start("s6_writer", &args, directory)?;
    writer.line()?;
    std::thread::sleep(REST);
    writer.go()?;
    let clock = CpuClock::start([&writer, server.child()])?;
    let written: Written = writer.read()?;
    let [writer_cpu, server_cpu] = clock.elapsed()?;
    let mut figures = json!({
        "create_ms": written.create_ms, "sync_ms": written.sync_ms, "last_to_first": written.growth,
        "writer_cpu_s": writer_cpu, "server_cpu_s": server_cpu,
        "writer": writer.memory()?, "server": server.memory()?,
    });
    writer.stop()?;
    let server = server.restart()?;
    args.url.clone_from(&server.url);
    args.map = Some(written.map);
    let mut reader = Child::start("s6_reader", &args, directory)?;
    reader.line()?;
    std::thread::sleep(REST);
    reader.go()?;
    let clock = CpuClock::start([&reader, server.child()])?;
    figures["load_complete_ms"] = reader.read()?;
    let [reader_cpu, server_cpu] = clock.elapsed()?;
    figures["loader_cpu_s"] = json!(reader_cpu);
    figures["load_server_cpu_s"] = json!(server_cpu);
    figures["loader"] = json!(reader.memory()?);
    figures["load_server"] = json!(server.memory()?);
    reader.stop()?;
    server.stop()?;
    Ok(figures)
}

/// Writes the history.
pub async fn writer_role(args: Args) -> Result<(), Error> {
    let node = args.account.connect(&args.url).await?;
    let group = node.create_group()?;
    let map = node.create_record::<String, String>(&group, [])?;
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    let start = Instant::now();
    let mut thousands = Vec::new();
    let mut since = start;
    for number in 0..args.n {
        map.insert(format!("k{}", number % KEYS), &format!("v{number}"))?;
        if (number + 1) % YIELD_EACH == 0 {
            thousands.push(since.elapsed().as_secs_f64());
            tokio::task::yield_now().await;
            since = Instant::now();
        }
    }
    let created = start.elapsed();
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    // A few thousand each, as single ones are disturbed easily.
    let early = median(thousands.iter().skip(1).take(5).copied().collect());
    let late = median(thousands.iter().rev().take(5).copied().collect());
    tell(&Written {
        map: map.id().clone(),
        create_ms: millis(created),
        sync_ms: millis(start.elapsed() - created),
        growth: round(late / early.max(f64::MIN_POSITIVE), 2),
    })?;
    steps.finished().await;
    Ok(())
}

/// Loads it.
pub async fn reader_role(args: Args) -> Result<(), Error> {
    let id = args.map.ok_or("no map to load")?;
    let node = args.account.connect(&args.url).await?;
    let mut steps = Steps::listen();
    tell(&"up")?;
    steps.next().await;
    let start = Instant::now();
    let map = node.load(&Ref::<CoRecord<String>>::new(id.clone())).await?;
    let last = args.n - 1;
    let expected = Some(format!("v{last}"));
    let mut changes = map.subscribe();
    let key = format!("k{}", last % KEYS);
    // A load is complete when the last value is there, which comes with the last piece.
    while map.get(&key)? != expected {
        changes.next().await.ok_or("the node was shut down")??;
    }
    tell(&millis(start.elapsed()))?;
    steps.finished().await;
    Ok(())
}
