//! Whole networks of nodes with everything that goes wrong: connections that break, messages that come twice, partitions,
//! crashes that lose what storage had not written, storage that lags, writers whose rights are taken away, and one who
//! writes whether allowed or not. Afterwards everything heals, and what all replicas show is compared with a table.
//!
//! Everything follows from a seed. `SIMULATION_SEED` repeats one run, `SIMULATION_RUNS` makes more of them and
//! `SIMULATION_STEPS` longer ones, `SIMULATION_TRACE` prints every message.

#![expect(clippy::print_stdout, reason = "seeds and traces are for who repeats a run")]

mod checks;
mod host;
mod model;
mod world;

use world::{Topology, World};

const RUNS: u64 = 3;
const STEPS: u64 = 6_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

fn simulate(topology: Topology) {
    let steps = setting("SIMULATION_STEPS").unwrap_or(STEPS);
    let seeds = match setting("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SIMULATION_RUNS").unwrap_or(RUNS),
    };
    for seed in seeds {
        println!("{topology:?}, SIMULATION_SEED={seed}");
        let mut world = World::new(topology, seed);
        for _ in 0..steps {
            world.step();
        }
        world.heal();
        world.check();
        println!("{:?}", world.counts);
        assert!(
            world.counts.crashed > 0 && world.counts.forged > 0,
            "too little has happened"
        );
    }
}

#[test]
fn one_server() {
    simulate(Topology::Single);
}

#[test]
fn two_servers_that_know_nothing_of_each_other() {
    simulate(Topology::TwoServers);
}

#[test]
fn a_server_behind_a_server() {
    simulate(Topology::Chain);
}

#[test]
fn a_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new(Topology::Chain, 7);
        for _ in 0..1_500 {
            world.step();
        }
        world.trace.finalize()
    };
    assert_eq!(run(), run());
}
