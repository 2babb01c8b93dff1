//! Processes die without a word of warning, and nothing that was acknowledged dies with them.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{GREETER, Home, VISITOR};
use crate::processes::{self, Process};

/// Kills a replica's process and waits until another one has taken its place.
fn replace(home: &Home, name: &str) {
    let before = home.eventually(name, || processes::named(home.path(), name));
    processes::kill(&before);
    home.eventually(&format!("a new {name}"), || {
        processes::named(home.path(), name).filter(|process: &Process| process.pid != before.pid)
    });
}

fn count(home: &Home) -> u64 {
    let said = home.eventually("an answer of Greeter", || {
        let said = home.run(&["call", "greeter", "count"]);
        (said.code == Some(0)).then_some(said)
    });
    serde_json::from_str::<Value>(&said.out).unwrap()["count"]
        .as_u64()
        .unwrap()
}

#[test]
fn any_replica_is_killed() {
    let home = Home::with_greeter();
    home.greet("Ada").expect_ok();
    for name in ["unpacked", "replica-main local-sentinel", "replica-main alpha"] {
        replace(&home, name);
        home.wait_for_status(&["alpha", "local-sentinel", "greeter"], "running");
        assert_eq!(count(&home), 1);
    }
    home.eventually("a greeting", || (home.greet("Eve").code == Some(0)).then_some(()));
    home.eventually("a load", || {
        let said = home.run(&["replica", "load", VISITOR, "--yes"]);
        (said.code == Some(0)).then_some(())
    });
}

#[test]
fn alpha_is_killed_while_it_carries_out_approvals() {
    let home = Home::with_greeter();
    let requests: Vec<u64> = (0..4).map(|_| pending_request(&home)).collect();
    for (round, request) in (0u64..).zip(&requests) {
        let mut approving = home.start(&["load-request", "approve", &request.to_string()]);
        // Wherever it is by then: the outcome is the same.
        thread::sleep(Duration::from_millis(round * 30));
        replace(&home, "replica-main alpha");
        approving.kill().unwrap();
        approving.wait().unwrap();
        home.eventually("approved", || {
            let id = request.to_string();
            let shown = home.run(&["load-request", "show", &id, "--output", "json"]);
            let shown: Value = serde_json::from_str(&shown.out).ok()?;
            if shown["status"] == "requires-approval" {
                home.run(&["load-request", "approve", &id]);
            }
            (shown["status"] == "approved" && shown["version"] == 1).then_some(())
        });
    }
    let names: Vec<String> = (0..4)
        .map(|n| {
            if n == 0 {
                "visitor".to_owned()
            } else {
                format!("visitor-{n}")
            }
        })
        .collect();
    home.wait_for_status(&names.iter().map(String::as_str).collect::<Vec<_>>(), "completed");

    let replicas = home.json("replica list");
    let replicas = replicas.as_array().unwrap();
    assert_eq!(replicas.len(), 4 + requests.len());
    let ids: BTreeSet<u64> = replicas
        .iter()
        .map(|replica| replica["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (0..replicas.len() as u64).collect());
    let accounts: BTreeSet<String> = (0..replicas.len())
        .map(|id| {
            home.json(&format!("replica info {id}"))["accountId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(accounts.len(), replicas.len());
    assert_eq!(
        count(&home),
        requests.len() as u64,
        "each of them has greeted once"
    );
}

/// Asks for one more Visitor, and leaves the request as it is.
fn pending_request(home: &Home) -> u64 {
    home.fails(&format!("replica load {VISITOR}"));
    let requests = home.json("load-request list");
    requests.as_array().unwrap().last().unwrap()["id"]
        .as_u64()
        .unwrap()
}

#[test]
fn the_sync_server_is_killed_under_load() {
    let home = Home::with_greeter();
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (0..15).filter(|_| home.greet("Ada").code == Some(0)).count()))
            .collect();
        for _ in 0..3 {
            replace(&home, "sync --listen");
        }
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap() as u64)
            .sum::<u64>()
    });
    // A greeting whose answer was lost may have been kept; one whose answer has come must have been.
    let kept = count(&home);
    assert!(
        kept >= acknowledged,
        "{acknowledged} were acknowledged and {kept} kept"
    );
    home.eventually("a greeting", || (home.greet("Eve").code == Some(0)).then_some(()));
    assert!(count(&home) > kept);
}

#[test]
fn the_whole_cluster_is_killed() {
    let home = Home::with_greeter();
    home.ok(&format!("replica load {VISITOR} --yes"));
    home.wait_for_status(&["visitor"], "completed");
    home.greet("Ada").expect_ok();
    let before = home.json("replica list");
    for _ in 0..2 {
        processes::kill_all(home.path());
        assert_eq!(home.json("cluster info local")["status"], "stopped");
        home.up();
        // Statuses of before may still be shown, until somebody has looked.
        home.eventually("everything as it was", || {
            (home.json("replica list") == before).then_some(())
        });
        assert_eq!(count(&home), 2);
    }
}

#[test]
fn the_runtime_alone_is_killed() {
    let home = Home::with_greeter();
    home.greet("Ada").expect_ok();
    let runtime = processes::named(home.path(), "up local --background").unwrap();
    processes::kill(&runtime);
    home.eventually("the end of everything", || {
        processes::of(home.path()).is_empty().then_some(())
    });
    home.up();
    home.wait_for_status(&["alpha", "local-sentinel", "greeter"], "running");
    assert_eq!(count(&home), 1);
}

#[test]
fn a_runtime_that_cannot_be_asked_is_not_taken_for_stopped() {
    let home = Home::with_cluster();
    std::fs::remove_file(home.cluster().join("runtime.sock")).unwrap();
    let runtime = processes::named(home.path(), "up local --background").unwrap();
    let error = home.fails("down local");
    assert!(error.contains(&format!("kill {}", runtime.pid)), "{error}");
    assert!(home.fails("cluster delete local --yes").contains("cannot stop"));
    let info = home.json("cluster info local");
    assert_eq!(info["status"], "running");
    assert_eq!(info["processId"], runtime.pid);

    // What the error says to do, does it.
    processes::ask_to_end(&runtime);
    home.eventually("the end of everything", || {
        processes::of(home.path()).is_empty().then_some(())
    });
    assert_eq!(home.json("cluster info local")["status"], "stopped");
    assert!(home.ok("down local").contains("was not running"));
}

#[test]
fn the_first_start_is_killed() {
    let home = Home::with_images();
    let mut first = home.start(&[
        "up",
        "local",
        "--detach",
        "--port",
        &processes::free_port().to_string(),
    ]);
    home.eventually("a sync server", || processes::named(home.path(), "sync --listen"));
    processes::kill_all(home.path());
    first.wait().unwrap();
    home.up();
    home.wait_for_status(&["alpha", "local-sentinel"], "running");
    home.wait_for_status(&["seed"], "completed");
    assert_eq!(home.json("replica list").as_array().unwrap().len(), 3);
    home.ok(&format!("replica load {GREETER} --yes"));
    assert_eq!(home.json("call greeter count"), json!({ "count": 0 }));
}
