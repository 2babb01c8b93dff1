//! Figures for Prometheus, in its text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::connection::Refusal;

/// A number that goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper ends of the buckets of latencies.
const BUCKETS_MICROS: [u64; 10] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000,
];

/// How long something took.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Counter; BUCKETS_MICROS.len()],
    count: Counter,
    micros: Counter,
}

impl Latency {
    pub fn observe(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for (bucket, end) in self.buckets.iter().zip(BUCKETS_MICROS) {
            if micros <= end {
                bucket.add(1);
            }
        }
        self.count.add(1);
        self.micros.add(micros);
    }
}

/// What is counted where it happens.
#[derive(Debug, Default)]
pub struct Metrics {
    pub connections_opened: Counter,
    pub messages_received: Counter,
    pub bytes_received: Counter,
    pub messages_sent: Counter,
    pub bytes_sent: Counter,
    pub storage_bytes: Gauge,
    pub storage_writes: Latency,
    pub storage_reads: Latency,
    refused: [Counter; Refusal::ALL.len()],
}

/// What is looked up when somebody asks.
pub struct Now {
    pub connections: u64,
    pub values: u64,
    pub values_bytes: u64,
    pub queue_bytes: u64,
    pub content_refused: u64,
}

impl Metrics {
    pub fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].add(1);
    }

    /// Writes everything down.
    pub fn render(&self, now: &Now) -> String {
        let mut page = Page(String::new());
        page.gauge("connections", "Clients that are connected", now.connections);
        page.counter(
            "connections_total",
            "Clients that have connected",
            self.connections_opened.get(),
        );
        page.counter(
            "received_messages_total",
            "Messages from clients",
            self.messages_received.get(),
        );
        page.counter(
            "received_bytes_total",
            "Bytes of their frames",
            self.bytes_received.get(),
        );
        page.counter(
            "sent_messages_total",
            "Messages to clients",
            self.messages_sent.get(),
        );
        page.counter("sent_bytes_total", "Bytes of their frames", self.bytes_sent.get());
        page.gauge(
            "queue_bytes",
            "Bytes that wait until clients read them",
            now.queue_bytes,
        );
        page.gauge("values", "CoValues in memory", now.values);
        page.gauge(
            "values_bytes",
            "About how much memory they take",
            now.values_bytes,
        );
        page.gauge("storage_bytes", "Size of the database", self.storage_bytes.get());
        page.latency(
            "storage_write_seconds",
            "Time of a durable batch of writes",
            &self.storage_writes,
        );
        page.latency(
            "storage_read_seconds",
            "Time to read a CoValue",
            &self.storage_reads,
        );
        page.counter(
            "refused_content_total",
            "Messages about a CoValue that were malformed or did not verify",
            now.content_refused,
        );
        page.head(
            "refused_total",
            "counter",
            "Connections that were refused or ended, by reason",
        );
        for refusal in Refusal::ALL {
            let count = self.refused[refusal as usize].get();
            page.line(
                "refused_total",
                &format!("{{reason=\"{}\"}}", refusal.label()),
                count,
            );
        }
        page.0
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = write!(
            self.0,
            "# HELP jazz_sync_{name} {help}\n# TYPE jazz_sync_{name} {kind}\n"
        );
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "jazz_sync_{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn latency(&mut self, name: &str, help: &str, latency: &Latency) {
        self.head(name, "histogram", help);
        let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
        let bucket = format!("{name}_bucket");
        for (count, end) in latency.buckets.iter().zip(BUCKETS_MICROS) {
            self.line(&bucket, &format!("{{le=\"{}\"}}", seconds(end)), count.get());
        }
        self.line(&bucket, "{le=\"+Inf\"}", latency.count.get());
        self.line(&format!("{name}_sum"), "", seconds(latency.micros.get()));
        self.line(&format!("{name}_count"), "", latency.count.get());
    }
}
