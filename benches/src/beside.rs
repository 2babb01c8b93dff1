//! Our side and the peer's in turn, and what they come to beside each other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::say;
use crate::stats::{figure, merge};
use crate::{Error, machine};

/// Where the peer is.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Directory of the peer's side, its packages installed
    #[arg(long, value_name = "DIRECTORY")]
    pub beside: PathBuf,
    /// What runs the peer
    #[arg(long, value_enum, default_value_t = Runtime::Bun)]
    pub rt: Runtime,
    /// Scenarios to run
    #[arg(long, value_delimiter = ',', default_value = "s1,s2,s34,s5,s6,s7,s8")]
    pub only: Vec<String>,
}

/// What runs the peer.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Runtime {
    /// Bun
    Bun,
    /// Node
    Node,
}

/// What both sides are told to do. A scenario with a setting that matters is run with several.
struct Work {
    name: &'static str,
    scenario: &'static str,
    arguments: &'static [&'static str],
}

const fn work(name: &'static str, scenario: &'static str, arguments: &'static [&'static str]) -> Work {
    Work {
        name,
        scenario,
        arguments,
    }
}

const WORKS: &[Work] = &[
    work("s1", "s1", &[]),
    work("s2", "s2", &[]),
    work("s34", "s34", &[]),
    work("s5, 50 ms apart", "s5", &["--gap", "50"]),
    work("s5, 5 ms apart", "s5", &["--gap", "5"]),
    work("s6", "s6", &[]),
    work("s7, 2,000 clients", "s7", &["--n", "2000"]),
    work("s8", "s8", &[]),
];

/// A line of the table: a figure of ours, the peer's, and how many times better ours should be.
struct Row {
    /// Name of the work.
    work: &'static str,
    what: &'static str,
    /// Paths of figures that are added up.
    ours: &'static [&'static str],
    peers: &'static [&'static str],
    /// More is better.
    more: bool,
    target: f64,
}

const fn row(
    work: &'static str,
    what: &'static str,
    ours: &'static [&'static str],
    peers: &'static [&'static str],
    target: f64,
) -> Row {
    Row {
        work,
        what,
        ours,
        peers,
        more: false,
        target,
    }
}

const S1_CPU: &[&str] = &[
    "cpu_ms_per_call_conc.server",
    "cpu_ms_per_call_conc.a",
    "cpu_ms_per_call_conc.b",
];

const ROWS: &[Row] = &[
    row("s1", "call p50, ms", &["seq_p50"], &["seq_p50"], 30.0),
    Row {
        more: true,
        ..row(
            "s1",
            "calls/s, 16 at a time",
            &["conc_per_s"],
            &["conc_per_s"],
            100.0,
        )
    },
    row("s1", "CPU per call, ms", S1_CPU, S1_CPU, 100.0),
    Row {
        more: true,
        ..row(
            "s1",
            "calls/s in the Jazz form, 16 at a time",
            &["jazz_form.conc_per_s"],
            &["conc_per_s"],
            10.0,
        )
    },
    row(
        "s2",
        "start to ready, ms: replica",
        &["replica.ready"],
        &["default_with_inbox.ready"],
        6.0,
    ),
    row(
        "s2",
        "start to ready, ms: node alone",
        &["node.ready"],
        &["default_with_inbox.ready"],
        6.0,
    ),
    row(
        "s2",
        "memory when ready, MiB: replica",
        &["replica.rss"],
        &["default_with_inbox.rss"],
        5.0,
    ),
    row("s34", "ingest, ms", &["s3.total_ms"], &["s3.total_ms"], 10.0),
    row("s34", "ingest, CPU s", S3_CPU, S3_CPU, 10.0),
    row("s34", "ingest, MiB at most", S3_PEAK, S3_PEAK, 4.0),
    row("s34", "cold load, ms", &["s4.load_ms"], &["s4.load_ms"], 10.0),
    row("s34", "cold load, CPU s", S4_CPU, S4_CPU, 10.0),
    row(
        "s5, 50 ms apart",
        "update to subscriber, p50, ms",
        &["p50"],
        &["p50"],
        5.0,
    ),
    row("s5, 50 ms apart", "CPU s, all", S5_CPU, S5_CPU, 5.0),
    row(
        "s5, 5 ms apart",
        "update to subscriber, p99, ms",
        &["p99"],
        &["p99"],
        5.0,
    ),
    row("s5, 5 ms apart", "CPU s, all", S5_CPU, S5_CPU, 5.0),
    row("s6", "long log: write, ms", &["create_ms"], &["create_ms"], 15.0),
    row(
        "s6",
        "long log: load, ms",
        &["load_complete_ms"],
        &["load_complete_ms"],
        10.0,
    ),
    row("s6", "long log: write, MiB at most", S6_PEAK, S6_PEAK, 4.0),
    row("s7, 2,000 clients", "MiB in all", &["rssN"], &["rssN"], 3.5),
    row(
        "s7, 2,000 clients",
        "KiB per client",
        &["kb_per_client"],
        &["kb_per_client"],
        2.0,
    ),
    row(
        "s7, 2,000 clients",
        "CPU with pings, % of a core",
        &["server_cpu_pct_idle_with_pings"],
        &["server_cpu_pct_idle_with_pings"],
        3.3,
    ),
    row("s8", "add 200 members, ms", &["add_ms"], &["add_ms"], 8.0),
    row("s8", "remove one, ms", &["rotate_ms"], &["rotate_ms"], 8.0),
];
const S3_CPU: &[&str] = &["s3.server_cpu_s", "s3.client_cpu_s"];
const S3_PEAK: &[&str] = &["s3.server.peak", "s3.client.peak"];
const S4_CPU: &[&str] = &["s4.server_cpu_s", "s4.client_cpu_s"];
const S5_CPU: &[&str] = &["server_cpu_s", "writer_cpu_s", "subs_cpu_s"];
const S6_PEAK: &[&str] = &["writer.peak", "server.peak"];

/// Runs both sides, A B A B, and prints the table.
pub fn run(options: &Options, runs: usize, json: bool) -> Result<(), Error> {
    let runtime = match options.rt {
        Runtime::Bun => "bun",
        Runtime::Node => "node",
    };
    for line in machine::describe(&options.beside, runtime) {
        say(&line)?;
    }
    say(&format!(
        "Commands, {runs} times in turn:\n- `reside-bench {{{0}}} --runs 1 --json`\n- `node run.mjs {{{0}}} --rt {runtime} --runs 1`\n",
        options.only.join("|")
    ))?;
    let mut table = vec![
        "| | | ReSide | jazz-tools | ratio | to reach |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    let wanted = |work: &&Work| options.only.iter().any(|name| name == work.scenario);
    for work in WORKS.iter().filter(wanted) {
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let mut own = Command::new(std::env::current_exe()?);
            own.arg(work.scenario)
                .args(work.arguments)
                .args(["--runs", "1", "--json"]);
            ours.push(first_line(own)?);
            let mut peer = Command::new("node");
            peer.args(["run.mjs", work.scenario, "--rt", runtime, "--runs", "1"])
                .args(work.arguments)
                .current_dir(&options.beside);
            peers.push(first_line(peer)?);
        }
        let (ours, peers) = (merge(&ours), merge(&peers));
        if json {
            say(&ours.to_string())?;
            say(&peers.to_string())?;
        }
        table.extend(
            ROWS.iter()
                .filter(|row| row.work == work.name)
                .map(|row| row.of(&ours, &peers)),
        );
        if work.name == "s1" {
            table.extend(plain(&ours));
            table.extend(left_behind(&ours, &peers));
        }
    }
    say(&table.join("\n"))
}

/// Runs a side once and returns its figures.
fn first_line(mut command: Command) -> Result<Value, Error> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} failed").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().next().ok_or("a side printed nothing")?;
    Ok(serde_json::from_str(line)?)
}

fn sum(run: &Value, paths: &[&str]) -> Option<f64> {
    paths.iter().map(|path| figure(run, path)).sum()
}

/// A number with three digits that count.
fn short(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number if number >= 1.0 => format!("{number:.2}"),
        number => format!("{number:.3}"),
    }
}

impl Row {
    fn of(&self, ours: &Value, peers: &Value) -> String {
        let (Some(our), Some(peer)) = (sum(ours, self.ours), sum(peers, self.peers)) else {
            return format!("| {} | {} | | | | |", self.work, self.what);
        };
        let ratio = if self.more { our / peer } else { peer / our };
        let verdict = if ratio >= self.target {
            "reached"
        } else {
            "**not reached**"
        };
        format!(
            "| {} | {} | {} | {} | {}x | {}x: {verdict} |",
            self.work,
            self.what,
            short(our),
            short(peer),
            short(ratio),
            self.target
        )
    }
}

/// Native calls beside plain HTTP calls of the same run.
fn plain(ours: &Value) -> Option<String> {
    let (native, plain) = (figure(ours, "seq_p50")?, figure(ours, "plain_axum.seq_p50")?);
    let ratio = native / plain;
    let verdict = if ratio < 2.5 { "reached" } else { "**not reached**" };
    Some(format!(
        "| s1 | call p50, as a multiple of plain HTTP ({} ms) | {}x | | | below 2.5x: {verdict} |",
        short(plain),
        short(ratio)
    ))
}

/// What a call leaves in the database for good.
fn left_behind(ours: &Value, peers: &Value) -> Option<String> {
    let bytes = |run| figure(run, "db_per_call_conc.bytes");
    let (our, peer) = (bytes(ours)?, bytes(peers)?);
    let verdict = if our == 0.0 { "reached" } else { "**not reached**" };
    Some(format!(
        "| s1 | bytes left per call | {our} | {peer:.0} | | 0: {verdict} |"
    ))
}

/// Checks that the peer is there before anything runs.
pub fn check(directory: &Path) -> Result<(), Error> {
    if directory.join("node_modules").exists() {
        return Ok(());
    }
    Err(format!(
        "{0} has no packages: run `npm install --legacy-peer-deps` in a copy of it",
        directory.display()
    )
    .into())
}
