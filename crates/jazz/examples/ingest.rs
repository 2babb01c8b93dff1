//! Measures typed writes, 5,000 maps of 8 fields with 5 updates each, one by one and in transactions of 100, and how
//! long another node of the account takes to load all of them from the server.
//!
//! `cargo run --release -p jazz --example ingest`

use std::time::{Duration, Instant};

use jazz::{CoMap, LocalServer, Node, WriteError};

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
    let server = LocalServer::new();
    let node = Node::builder()
        .local_server(&server)
        .create_account("Bench")
        .connect()
        .await?;
    let group = node.create_group()?;
    let mut references = Vec::new();
    measure("one by one", || {
        for number in 0..MAPS {
            let map = node.create(&group, reading(number))?;
            references.push(map.reference());
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
    let list = node.create_list(&group, references)?;
    let start = Instant::now();
    node.wait_for_sync(Duration::from_secs(600)).await?;
    report("synced after", start, 1);

    let reader = Node::builder()
        .local_server(&server)
        .account(node.credentials().expect("the node is logged in"))
        .connect()
        .await?;
    let start = Instant::now();
    let loaded = reader.load_deep(&list.reference(), 1).await?.complete()?;
    let mut total = 0;
    for reference in loaded.items()? {
        total += reader.loaded(&reference)?.get()?.count;
    }
    assert_eq!(total, MAPS * UPDATES, "everything arrived");
    report("loaded and read", start, MAPS);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn report(name: &str, start: Instant, count: u32) {
    let took = start.elapsed();
    println!("{name}: {count} in {took:.2?}, {:.1?} each", took / count);
}

fn measure(name: &str, run: impl FnOnce() -> Result<(), WriteError>) -> Result<(), WriteError> {
    let start = Instant::now();
    run()?;
    report(name, start, MAPS * (1 + UPDATES));
    Ok(())
}
