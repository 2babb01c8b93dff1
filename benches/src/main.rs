//! The scenario benchmark: each scenario in processes of its own, several runs, one JSON line per run and one with the
//! medians. `docs/performance.md` says what the figures mean.

mod beside;
mod calls;
mod echo;
mod machine;
mod process;
mod replica;
mod scenario;
mod server;
mod stats;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

use calls::Calls;
use process::{CHILD, Noise, say};
use scenario::{floor, s1, s2, s5, s6, s7, s8, s34};
use stats::{merge, round};

/// Whatever went wrong: a measurement that fails is repeated by a person.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measures ReSide.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How often each scenario is run
    #[arg(long, global = true, default_value_t = 3)]
    runs: usize,
    /// Print one JSON line per run, and one with the medians, instead of a list
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Calls between two replicas, and plain HTTP calls
    S1(Calls),
    /// Start of a process to a replica that is ready
    S2(s2::Options),
    /// Ingest of many CoMaps, and their cold load
    S34(s34::Options),
    /// One CoMap that many subscribers see change
    S5(s5::Options),
    /// A long log: one CoMap with many sets, and its cold load
    S6(s6::Options),
    /// A server with idle connections
    S7(s7::Options),
    /// A group with many members, one of which is removed
    S8(s8::Options),
    /// The primitives that nothing can be faster than
    Floor(Calls),
    /// All scenarios in turn with the peer's, and the ratios
    All(beside::Options),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [first, role, argument] if first == CHILD => child(role, argument),
        _ => measure(&Cli::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the program has no other way to say why it fails"
)]
fn complain(error: &Error) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        eprintln!("  because: {error}");
        source = error.source();
    }
}

fn measure(cli: &Cli) -> Result<(), Error> {
    match &cli.command {
        Command::S1(calls) => repeat("s1", cli, |directory| s1::run(*calls, directory)),
        Command::S2(options) => repeat("s2", cli, |directory| s2::run(*options, directory)),
        Command::S34(options) => repeat("s34", cli, |directory| s34::run(*options, directory)),
        Command::S5(options) => repeat("s5", cli, |directory| s5::run(*options, directory)),
        Command::S6(options) => repeat("s6", cli, |directory| s6::run(*options, directory)),
        Command::S7(options) => repeat("s7", cli, |directory| s7::run(*options, directory)),
        Command::S8(options) => repeat("s8", cli, |directory| s8::run(*options, directory)),
        Command::Floor(calls) => repeat("floor", cli, |directory| floor::run(*calls, directory)),
        Command::All(options) => {
            beside::check(&options.beside)?;
            beside::run(options, cli.runs, cli.json)
        }
    }
}

/// Runs a scenario several times, each in an empty directory.
fn repeat(name: &str, cli: &Cli, run: impl Fn(&Path) -> Result<Value, Error>) -> Result<(), Error> {
    let mut runs = Vec::new();
    for number in 1..=cli.runs {
        let directory = tempfile::Builder::new().prefix("reside-bench-").tempdir()?;
        let (start, noise) = (Instant::now(), Noise::start());
        let result = run(directory.path());
        if result.is_err() {
            // The logs of the processes tell more.
            let kept = directory.keep();
            return result
                .map(drop)
                .map_err(|error| format!("{error} (the logs are in {})", kept.display()).into());
        }
        let mut figures = result?;
        if let Some(noise) = noise.shares() {
            append(&mut figures, noise);
        }
        if cli.json {
            let mut line = json!({"scenario": name, "run": number});
            line["took_s"] = json!(round(start.elapsed().as_secs_f64(), 1));
            append(&mut line, figures.clone());
            say(&line.to_string())?;
        }
        runs.push(figures);
    }
    let merged = merge(&runs);
    if cli.json {
        let mut line = json!({"scenario": name, "median": cli.runs});
        append(&mut line, merged);
        return say(&line.to_string());
    }
    print_figures("", &merged)
}

/// Adds the fields of one object to another.
fn append(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// Prints a figure per line: median and range.
fn print_figures(path: &str, figures: &Value) -> Result<(), Error> {
    match figures {
        Value::Object(fields) if fields.contains_key("med") => say(&format!(
            "{path:<40} {:>12}   ({} to {})",
            fields["med"], fields["min"], fields["max"]
        )),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            print_figures(&path, value)
        }),
        value => say(&format!("{path:<40} {value:>12}")),
    }
}

/// Runs one role of a scenario in this process.
fn child(role: &str, argument: &str) -> Result<(), Error> {
    macro_rules! roles {
        ($($name:literal => $run:path,)*) => {
            match role {
                $($name => block_on($run(serde_json::from_str(argument)?)),)*
                _ => Err(format!("no such role: {role}").into()),
            }
        };
    }
    roles! {
        "server" => server::role,
        "accounts" => server::accounts_role,
        "prepare" => replica::prepare_role,
        "s1_callee" => s1::callee_role,
        "s1_caller" => s1::caller_role,
        "s1_jazz_caller" => s1::jazz_caller_role,
        "plain_server" => s1::plain_server_role,
        "plain_client" => s1::plain_client_role,
        "s2_replica" => s2::replica_role,
        "s2_node" => s2::node_role,
        "s2_empty" => s2::empty_role,
        "s3" => s34::ingest_role,
        "s4" => s34::load_role,
        "s5_writer" => s5::writer_role,
        "s5_subscribers" => s5::subscribers_role,
        "s6_writer" => s6::writer_role,
        "s6_reader" => s6::reader_role,
        "s7_clients" => s7::clients_role,
        "s8_admin" => s8::admin_role,
        "s8_member" => s8::member_role,
    }
}

/// As `reside::main` runs a replica.
fn block_on(role: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(role)
}
