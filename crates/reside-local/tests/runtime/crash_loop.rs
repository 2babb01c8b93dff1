//! How long a process that ends waits for its next start. Time is paused: it jumps to the next start when there is
//! nothing else to do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reside_local::{Images, Kind, Program, Runtime, Settings};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, advance};

use crate::support::{deployment, job, script, seen, start_with};

/// How a process ends that is started for the n-th time, and who is told of the start.
struct Starts {
    script: fn(usize) -> &'static str,
    count: AtomicUsize,
    told: UnboundedSender<Instant>,
}

impl Images for Starts {
    fn unpack(&self, _: &str) -> Result<Program, String> {
        let start = self.count.fetch_add(1, Ordering::Relaxed);
        self.told
            .send(Instant::now())
            .expect("nothing starts after the end");
        Ok(script((self.script)(start)))
    }
}

async fn start(folder: &TempDir, script: fn(usize) -> &'static str) -> (Runtime, UnboundedReceiver<Instant>) {
    let (told, starts) = unbounded_channel();
    let images = Starts {
        script,
        count: AtomicUsize::new(0),
        told,
    };
    let runtime = start_with(folder.path(), images, Settings::default())
        .await
        .unwrap();
    (runtime, starts)
}

/// The seconds between the next starts.
async fn waits(starts: &mut UnboundedReceiver<Instant>, count: usize) -> Vec<u64> {
    let mut last = starts.recv().await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..count {
        let start = starts.recv().await.unwrap();
        waits.push((start - last).as_secs());
        last = start;
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn waits_grow_as_in_kubernetes() {
    let folder = tempfile::tempdir().unwrap();
    let (runtime, mut starts) = start(&folder, |_| "exit 1").await;
    let client = runtime.client();
    client
        .apply(Kind::Deployment, "a", &deployment("", 1))
        .await
        .unwrap();
    let waits = waits(&mut starts, 12).await;
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    runtime.shutdown().await;
}

/// Crashes three times, runs until it is told to end, and goes on crashing.
fn one_good_run(start: usize) -> &'static str {
    match start {
        3 => "until [ -e end ]; do sleep 0.01; done",
        _ => "exit 1",
    }
}

/// The waits after a run that took this long.
async fn waits_after(good_time: Duration) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let (runtime, mut starts) = start(&folder, one_good_run).await;
    let client = runtime.client();
    client
        .apply(Kind::Deployment, "a", &deployment("", 1))
        .await
        .unwrap();
    assert_eq!(waits(&mut starts, 3).await, [0, 1, 2]);
    seen(&client, Kind::Deployment, "a", |status| {
        status["replicas"] == 1 && status["pods"][0]["restartCount"] == 3
    })
    .await;
    advance(good_time).await;
    let end = Instant::now();
    std::fs::write(folder.path().join("work/Deployment_a/end"), "").unwrap();
    let first = starts.recv().await.unwrap();
    let second = starts.recv().await.unwrap();
    runtime.shutdown().await;
    vec![(first - end).as_secs(), (second - first).as_secs()]
}

#[tokio::test(start_paused = true)]
async fn ten_good_minutes_make_up_for_crashes() {
    assert_eq!(waits_after(Duration::from_secs(601)).await, [0, 1]);
    assert_eq!(waits_after(Duration::from_secs(500)).await, [4, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_given_up_after_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (runtime, mut starts) = start(&folder, |_| "exit 1").await;
    let client = runtime.client();
    client.apply(Kind::Job, "a", &job("", 3)).await.unwrap();
    assert_eq!(waits(&mut starts, 3).await, [0, 1, 2]);
    let live = seen(&client, Kind::Job, "a", |status| {
        status["conditions"][0]["type"] == "Failed"
    })
    .await;
    assert_eq!(live["status"]["failed"], 4);
    runtime.shutdown().await;
    assert!(starts.recv().await.is_none(), "it is not started again");
}
