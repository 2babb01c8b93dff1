//! The real packages as judge, on fresh random cases in both directions: what they make is read here, what we make is read
//! there, and both sides report the same. `interop/format` has their half.

#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests shall know the seed, and what was left out"
)]

mod generate;
mod judge;
mod report;
mod roles;

use std::path::Path;

use serde_json::{Value, json};

use self::judge::{Judge, judge};
use self::report::{differences, report};

/// Cases in each direction.
const CASES: u64 = 8;

/// A seed that hasn't been tried; `INTEROP_SEED` repeats one.
fn seed() -> u64 {
    let seed = match std::env::var("INTEROP_SEED") {
        Ok(seed) => seed.parse().expect("INTEROP_SEED is a number"),
        Err(_) => {
            let mut bytes = [0; 4];
            getrandom::fill(&mut bytes).unwrap();
            u64::from(u32::from_le_bytes(bytes))
        }
    };
    eprintln!("INTEROP_SEED={seed}");
    seed
}

/// Panics with what differs, if anything, and leaves the case to be replayed.
fn agree(case: &Value, ours: &Value, theirs: &Value) {
    let differences = differences(ours, theirs);
    if differences.is_empty() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("interop-{}.json", case["seed"].as_str().unwrap()));
    std::fs::write(&file, case.to_string()).unwrap();
    panic!(
        "{} differences, the first of them:\n{}\nthe case is kept; to repeat it: INTEROP_CASE={} cargo test -p cojson interop::replay",
        differences.len(),
        differences[..differences.len().min(8)].join("\n"),
        file.display(),
    );
}

#[test]
fn what_the_packages_made_is_read_here() {
    let Some(judge) = judge() else { return };
    let cases = judge.ask(
        &["generate", &seed().to_string(), &CASES.to_string()],
        &Value::Null,
    );
    for made in cases.as_array().unwrap() {
        agree(&made["case"], &report(&made["case"]), &made["report"]);
    }
}

#[test]
fn what_we_made_is_read_by_the_packages() {
    let Some(judge) = judge() else { return };
    let seed = seed();
    let cases: Vec<Value> = (0..CASES)
        .map(|index| generate::generate(seed.wrapping_add(index)))
        .collect();
    check(&judge, &cases);
}

/// Repeats the case that a failure has left.
#[test]
fn replay() {
    let Some(file) = std::env::var_os("INTEROP_CASE") else {
        return;
    };
    let Some(judge) = judge() else { return };
    let case = std::fs::read_to_string(file).unwrap();
    check(&judge, &[serde_json::from_str(&case).unwrap()]);
}

fn check(judge: &Judge, cases: &[Value]) {
    let reports = judge.ask(&["report"], &json!(cases));
    for (case, theirs) in cases.iter().zip(reports.as_array().unwrap()) {
        agree(case, &report(case), theirs);
    }
}
