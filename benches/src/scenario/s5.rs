//! S5: one writer changes a CoMap at a steady pace, and many subscribers, each a node with a connection of its own,
//! see it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::try_join_all;
use jazz::{AccountId, CoId, CoMap, Node, Ref, Role, Subscription};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Error;
use crate::process::{Child, CpuClock, Steps, tell};
use crate::server::{AccountArgs, SYNC_TIMEOUT, SyncServer, accounts};
use crate::stats::{Latencies, millis};

/// How many see how much.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct Options {
    /// Subscribers
    #[arg(long, default_value_t = 50)]
    pub subs: usize,
    /// Updates
    #[arg(long, default_value_t = 500)]
    pub updates: usize,
    /// Milliseconds between updates
    #[arg(long, default_value_t = 5)]
    pub gap: u64,
}

/// What the roles are told.
#[derive(Serialize, Deserialize)]
pub struct Args {
    url: String,
    accounts: Vec<AccountArgs>,
    readers: Vec<AccountId>,
    map: Option<CoId>,
    options: Options,
}

#[derive(CoMap, Clone, Debug)]
struct Counter {
    v: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    span_ms: f64,
    /// When each update was made, in milliseconds of the system clock.
    sent: Vec<f64>,
}

/// The updates that a subscriber was shown, and when. One that came too quickly after another is skipped.
type Seen = Vec<(usize, f64)>;

/// A client comes to rest.
const REST: Duration = Duration::from_secs(1);

/// Runs the scenario once.
pub fn run(options: Options, directory: &Path) -> Result<Value, Error> {
    let server = SyncServer::start(directory)?;
    let mut all = accounts(&server, options.subs + 1, directory)?;
    let readers = all.split_off(1);
    let mut args = Args {
        url: server.url.clone(),
        accounts: all,
        readers: readers
            .iter()
            .map(|reader| reader.id.parse())
            .collect::<Result<_, _>>()?,
        map: None,
        options,
    };
    let mut writer = Child::start("s5_writer", &args, directory)?;
    args.map = Some(writer.read()?);
    args.accounts = readers;
    let subscribers = Child::start("s5_subscribers", &args, directory)?;
    subscribers.line()?;
    std::thread::sleep(REST);
    writer.go()?;
    let clock = CpuClock::start([server.child(), &writer, &subscribers])?;
    let written: Written = writer.read()?;
    let seen: Vec<Seen> = subscribers.read()?;
    let [server_cpu, writer_cpu, subs_cpu] = clock.elapsed()?;
    let latencies = Latencies::of(
        seen.iter()
            .flat_map(|seen| latencies(seen, &written.sent))
            .collect(),
    );
    let figures = json!({
        "p50": latencies.p50, "p90": latencies.p90, "p99": latencies.p99,
        "writer_span_ms": written.span_ms, "deliveries": seen.iter().map(Vec::len).sum::<usize>(),
        "server_cpu_s": server_cpu, "writer_cpu_s": writer_cpu, "subs_cpu_s": subs_cpu,
        "server": server.memory()?, "subs_mem": subscribers.memory()?,
    });
    subscribers.stop()?;
    writer.stop()?;
    server.stop()?;
    Ok(figures)
}

/// How long each update took to be shown. One that was skipped counts with the one shown instead.
fn latencies(seen: &Seen, sent: &[f64]) -> Vec<Duration> {
    let mut seen = seen.iter().peekable();
    let shown = |(number, sent): (usize, &f64)| {
        while seen.next_if(|(shown, _)| *shown < number).is_some() {}
        let (_, at) = seen.peek()?;
        Some(Duration::from_secs_f64((at - sent).max(0.0) / 1000.0))
    };
    sent.iter().enumerate().map_while(shown).collect()
}

/// Writes at its pace.
pub async fn writer_role(args: Args) -> Result<(), Error> {
    let account = args.accounts.first().ok_or("no account to write with")?;
    let node = account.connect(&args.url).await?;
    let group = node.create_group()?;
    for reader in &args.readers {
        group.add_member(reader, Role::Reader).await?;
    }
    let map = node.create(&group, Counter { v: "-1".into() })?;
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let mut steps = Steps::listen();
    tell(map.id())?;
    steps.next().await;
    let start = Instant::now();
    let mut pace = interval(Duration::from_millis(args.options.gap));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = Vec::with_capacity(args.options.updates);
    for number in 0..args.options.updates {
        pace.tick().await;
        sent.push(wall_millis());
        map.update(|counter| counter.v = number.to_string())?;
    }
    let span_ms = millis(start.elapsed());
    tell(&Written { span_ms, sent })?;
    steps.finished().await;
    Ok(())
}

/// Sees everything.
pub async fn subscribers_role(args: Args) -> Result<(), Error> {
    let id = args.map.ok_or("no map to subscribe to")?;
    let connecting = args.accounts.iter().map(|account| account.connect(&args.url));
    let nodes = try_join_all(connecting).await?;
    let subscriptions = try_join_all(nodes.iter().map(|node| subscribe(node, &id))).await?;
    tell(&"up")?;
    let last = args.options.updates.saturating_sub(1);
    let watching = subscriptions
        .into_iter()
        .map(|subscription| tokio::spawn(watch(subscription, last)));
    let seen: Vec<Seen> = try_join_all(watching)
        .await?
        .into_iter()
        .collect::<Result<_, _>>()?;
    tell(&seen)?;
    Steps::listen().finished().await;
    Ok(())
}

/// Subscribes, and takes the first snapshot.
async fn subscribe(node: &Node, id: &CoId) -> Result<Subscription<Counter>, Error> {
    let mut subscription = node.load(&Ref::<Counter>::new(id.clone())).await?.subscribe();
    subscription.next().await.ok_or("the node was shut down")??;
    Ok(subscription)
}

/// Notes what is shown until the last update is.
async fn watch(mut subscription: Subscription<Counter>, last: usize) -> Result<Seen, Error> {
    let mut seen = Seen::new();
    while seen.last().is_none_or(|(number, _)| *number < last) {
        let counter = subscription.next().await.ok_or("the node was shut down")??;
        seen.push((counter.v.parse()?, wall_millis()));
    }
    Ok(seen)
}

/// The system clock, which two processes of a machine share.
fn wall_millis() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::latencies;

    #[test]
    fn what_was_skipped_counts_with_what_came_instead() {
        let seen = vec![(0, 10.0), (2, 30.0)];
        let shown: Vec<u128> = latencies(&seen, &[5.0, 15.0, 25.0, 35.0])
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(shown, [5, 15, 5]);
    }
}
