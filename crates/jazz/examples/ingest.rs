//! Measures typed writes: 5,000 maps of 8 fields with 5 updates each, one by one and in transactions of 100.
//!
//! `cargo run --release -p jazz --example ingest`

use std::time::Instant;

use jazz::{CoMap, Node, WriteError};

const MAPS: u32 = 5_000;
const UPDATES: u32 = 5;

#[derive(CoMap, Clone, Debug, PartialEq)]
struct Reading {
    sensor: String,
    place: String,
    unit: String,
    value: f64,
    count: u32,
    is_valid: bool,
    labels: Vec<String>,
    note: Option<String>,
}

fn reading(number: u32) -> Reading {
    Reading {
        sensor: format!("sensor-{number}"),
        place: "north".into(),
        unit: "°C".into(),
        value: f64::from(number) / 10.0,
        count: 0,
        is_valid: true,
        labels: vec!["outdoor".into(), "calibrated".into()],
        note: None,
    }
}

#[tokio::main]
async fn main() -> Result<(), jazz::Error> {
    let node = Node::builder().create_account("Bench").connect().await?;
    let group = node.create_group()?;
    measure("one by one", || {
        for number in 0..MAPS {
            let map = node.create(&group, reading(number))?;
            for _ in 0..UPDATES {
                map.update(|reading| reading.count += 1)?;
            }
        }
        Ok(())
    })?;
    measure("in transactions", || {
        for first in (0..MAPS).step_by(100) {
            let maps = node.transaction(|tx| {
                (first..first + 100)
                    .map(|number| tx.create(&group, reading(number)))
                    .collect::<Result<Vec<_>, _>>()
            })?;
            for _ in 0..UPDATES {
                node.transaction(|tx| {
                    maps.iter()
                        .try_for_each(|map| tx.update(map, |reading| reading.count += 1))
                })?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn measure(name: &str, run: impl FnOnce() -> Result<(), WriteError>) -> Result<(), WriteError> {
    let start = Instant::now();
    run()?;
    let writes = MAPS * (1 + UPDATES);
    let each = start.elapsed() / writes;
    println!(
        "{name}: {writes} writes in {:.2?}, {each:.1?} each",
        start.elapsed()
    );
    Ok(())
}
