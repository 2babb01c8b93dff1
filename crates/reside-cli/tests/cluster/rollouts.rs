//! From one version to the next while somebody calls all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use reside_local::{Kind, ObjectEvent, RuntimeClient};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::callers::{Caller, Outcome};
use crate::harness::{GREETER, Home};
use crate::{images, processes};

const HELLO: &[u8; 7] = b"Hello, ";
const HOWDY: &[u8; 7] = b"Howdy, ";

fn text(hello: &[u8; 7]) -> String {
    format!("{}Ada!", str::from_utf8(hello).unwrap())
}

/// Loads an image and waits until it runs.
fn load(home: &Home, image: &str) {
    home.ok(&format!("replica load {image} --yes"));
}

#[test]
fn a_scalable_replica_is_updated_and_rolled_back_and_not_one_call_fails() {
    let home = Home::with_greeter();
    let manifest = images::manifest(&home.images(), GREETER);
    let newer = images::publish_greeter(&home.images(), &manifest, HOWDY);
    let caller = Caller::new(&home);
    let loads = [caller.load(), caller.load()];
    for round in 0..20 {
        load(&home, &newer);
        assert_eq!(caller.greet(), Ok(text(HOWDY)), "round {round}");
        home.ok("replica rollback greeter --version 1");
        assert_eq!(caller.greet(), Ok(text(HELLO)), "round {round}");
        for load in &loads {
            let failed: Vec<Outcome> = load.take(&home, 1).into_iter().filter(Result::is_err).collect();
            assert_eq!(failed, [], "round {round}");
        }
    }
}

/// Notes whether two versions of Greeter ever have a process at once, as the runtime tells it.
fn watch_for_two(home: &Home, tokio: &Runtime) -> Arc<AtomicBool> {
    let runtime = RuntimeClient::new(home.cluster().join("runtime.sock"));
    let were_two = Arc::new(AtomicBool::new(false));
    let noted = were_two.clone();
    let mut events = tokio.block_on(runtime.watch()).unwrap();
    tokio.spawn(async move {
        let mut running: Vec<String> = Vec::new();
        while let Some(event) = events.next().await {
            let ObjectEvent::Live {
                kind: Kind::Deployment,
                name,
                live,
            } = event
            else {
                continue;
            };
            if !name.starts_with("greeter-") {
                continue;
            }
            running.retain(|known| *known != name);
            if live["status"]["replicas"] != json!(0) {
                running.push(name);
            }
            noted.fetch_or(running.len() > 1, Ordering::Relaxed);
        }
    });
    were_two
}

/// Whether the calls that failed stand in one row: those of the gap.
#[track_caller]
fn check_gap(outcomes: &[Outcome]) {
    let failed: Vec<usize> = (0..outcomes.len()).filter(|at| outcomes[*at].is_err()).collect();
    for at in &failed {
        assert_eq!(outcomes[*at], Err("no answer: HTTP status 503".to_owned()));
    }
    if let (Some(first), Some(last)) = (failed.first(), failed.last()) {
        assert_eq!(last - first + 1, failed.len(), "{outcomes:?}");
    }
}

#[test]
fn a_replica_that_is_not_scalable_has_a_gap_and_never_two_versions() {
    let home = Home::with_cluster();
    let mut manifest: Value = images::manifest(&home.images(), GREETER);
    manifest["info"]["scalable"] = json!(false);
    let older = images::publish_greeter(&home.images(), &manifest, HELLO);
    let newer = images::publish_greeter(&home.images(), &manifest, HOWDY);
    load(&home, &older);
    let caller = Caller::new(&home);
    let tokio = Runtime::new().unwrap();
    let were_two = watch_for_two(&home, &tokio);
    let calls = caller.load();
    let steady = |hello| {
        assert_eq!(caller.greet(), Ok(text(hello)));
        for outcome in calls.take(&home, 10) {
            assert_eq!(outcome, Ok(text(hello)));
        }
    };
    steady(HELLO);
    for _ in 0..3 {
        load(&home, &newer);
        check_gap(&calls.take(&home, 2));
        steady(HOWDY);
        home.ok("replica rollback greeter --version 1");
        check_gap(&calls.take(&home, 2));
        steady(HELLO);
    }
    assert!(!were_two.load(Ordering::Relaxed));
}

#[test]
fn a_version_that_never_gets_ready_leaves_the_old_one_serving() {
    let home = Home::with_greeter();
    let manifest = images::manifest(&home.images(), GREETER);
    let broken = images::publish(&home.images(), &manifest, &["no-such-command"]);
    let said = home.fails(&format!("replica load {broken} --yes"));
    assert!(said.contains("does not run: error"), "{said}");
    home.greet("Ada").expect_ok();
    let statuses = || -> Vec<Value> {
        let info = home.json("replica info greeter");
        let versions = info["versions"].as_array().unwrap();
        versions.iter().map(|version| version["status"].clone()).collect()
    };
    assert_eq!(statuses(), ["running-outdated", "error"]);

    // It is served on even if the old one dies, and if the machine is started again.
    processes::kill(&processes::named(home.path(), "unpacked").unwrap());
    home.eventually("the old version again", || {
        (home.greet("Ada").code == Some(0)).then_some(())
    });
    home.ok("down local");
    home.up();
    home.eventually("the old version again", || {
        (home.greet("Ada").code == Some(0)).then_some(())
    });
    home.eventually("the statuses", || {
        (statuses() == ["running-outdated", "error"]).then_some(())
    });

    // Until Alpha has looked again, the statuses are those of before, and the old version may seem to fail.
    home.eventually("going back", || {
        let said = home.run(&["replica", "rollback", "greeter", "--version", "1"]);
        (said.code == Some(0)).then_some(())
    });
    home.greet("Ada").expect_ok();
    home.eventually("the statuses", || {
        (statuses() == ["running", "stopped"]).then_some(())
    });
}
