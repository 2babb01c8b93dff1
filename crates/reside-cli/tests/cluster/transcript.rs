//! What a newcomer types, from an empty folder to a deleted cluster.

use serde_json::json;

use crate::harness::{GREETER, GREETER_V1, Home, VISITOR};
use crate::processes;

#[test]
fn a_cluster_from_nothing_to_its_end() {
    let home = Home::with_images();
    assert!(home.ok("account list").contains("admin"));
    home.up();
    assert!(home.ok("cluster list").contains("running"));
    assert_eq!(home.json("cluster info local")["status"], "running");
    let system: Vec<_> = home.json("replica list").as_array().unwrap().clone();
    let shown: Vec<_> = system
        .iter()
        .map(|replica| json!([replica["id"], replica["name"], replica["status"]]))
        .collect();
    assert_eq!(
        shown,
        [
            json!([0, "seed", "completed"]),
            json!([1, "alpha", "running"]),
            json!([2, "local-sentinel", "running"])
        ]
    );
    for field in [
        "id", "name", "identity", "class", "status", "version", "enabled", "image", "digest",
    ] {
        assert!(!system[1][field].is_null(), "{field} in {}", system[1]);
    }

    let images = home.ok("image list");
    assert!(
        [GREETER, VISITOR, GREETER_V1]
            .iter()
            .all(|identity| images.contains(identity)),
        "{images}"
    );
    assert!(home.ok(&format!("image inspect {GREETER}")).contains(GREETER_V1));

    load_and_look(&home);
    permissions_open_and_close(&home);
    versions_come_and_go(&home);

    let before = home.json("replica list");
    let down = home.run(&["down", "local"]).expect_ok();
    assert!(down.out.contains("has stopped"), "{down:?}");
    // The process that has given its lock back may still be on its last instruction.
    home.eventually("the end of all processes", || {
        processes::of(home.path()).is_empty().then_some(())
    });
    assert!(home.fails("replica list").contains("reside up local"));
    home.up();
    home.eventually("everything as it was", || {
        (home.json("replica list") == before).then_some(())
    });
    assert_eq!(home.json("call greeter count {}"), json!({ "count": 3 }));

    assert!(home.fails("cluster delete local").contains("--yes"));
    home.ok("cluster delete local --yes");
    assert_eq!(home.json("cluster list"), json!([]));
    home.eventually("the end of all processes", || {
        processes::of(home.path()).is_empty().then_some(())
    });
    assert!(!home.cluster().exists());
}

/// Greeter is asked about and approved by hand; Visitor is approved in advance, does its work and ends.
fn load_and_look(home: &Home) {
    let waiting = home.fails(&format!("replica load {GREETER}:latest"));
    for part in [GREETER, GREETER_V1, "sha256:", "load-request approve 4"] {
        assert!(waiting.contains(part), "{part} in {waiting}");
    }
    assert_eq!(home.json("load-request show 4")["status"], "requires-approval");
    home.ok("load-request approve 4");
    home.ok(&format!("replica load {VISITOR}:latest --yes"));
    home.wait_for_status(&["visitor"], "completed");

    let asked_for = home.json("load-request show 5");
    let permissions: Vec<_> = asked_for["requirements"][0]["permissions"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(permissions[0]["name"], "greeting:create");
    assert_eq!(permissions[0]["instanceId"], "en");
    assert_eq!(permissions[1]["name"], "greeting:read:all");

    let log = home.ok("replica logs visitor");
    for part in ["Hello, World!", "403", "a greeting"] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(home.ok("contract list").contains(GREETER_V1));
    assert!(
        home.ok(&format!("contract info {GREETER_V1}"))
            .contains("greeting:read:all")
    );
    home.ok(&format!("replica load {VISITOR} --yes --no-wait"));
    home.wait_for_status(&["visitor-1"], "completed");
    home.ok("replica unload visitor-1 --yes");

    let ended = home.fails("load-request reject 4 --reason late");
    assert!(ended.contains("approved already"), "{ended}");
    home.fails(&format!("replica load {VISITOR}"));
    home.run(&["load-request", "reject", "7", "--reason", "one is enough"])
        .expect_ok();
    assert_eq!(
        home.json("load-request show 7")["rejectionReason"],
        "one is enough"
    );
    assert!(home.ok("load-request list").contains("rejected"));
}

fn permissions_open_and_close(home: &Home) {
    assert_eq!(home.json("call greeter count {}"), json!({ "count": 2 }));
    let refused = home.greet("Ada");
    assert_eq!(refused.code, Some(1));
    let grant = format!(
        "reside permission grant {GREETER_V1} greeting:create --account admin --params '{{\"language\":\"en\"}}'"
    );
    assert!(refused.err.contains(&grant), "{}", refused.err);

    home.change_greeting("grant");
    let greeting = home.run(&[
        "call",
        "greeter",
        "greet",
        r#"{"name":"Ada","language":"en"}"#,
        "--output",
        "json",
    ]);
    assert!(greeting.expect_ok().out.contains("Hello, Ada!"));
    assert!(
        home.ok("permission list --account admin")
            .contains("greeting:create")
    );
    home.change_greeting("revoke");
    assert_eq!(home.greet("Ada").code, Some(1), "a revoked permission is refused");
    assert!(
        !home
            .ok("permission list --account admin")
            .contains("greeting:create")
    );
    home.change_greeting("grant");
    home.change_greeting("revoke");
    assert_eq!(home.json("call greeter count {}"), json!({ "count": 3 }));
    home.ok("replica unload visitor --yes");
}

fn versions_come_and_go(home: &Home) {
    home.ok("replica disable greeter");
    assert_eq!(home.replica("greeter").unwrap()["enabled"], false);
    assert!(
        home.fails("call greeter count {}")
            .contains("reside replica enable greeter")
    );
    home.ok("replica enable greeter");
    home.ok(&format!("replica load {GREETER} --yes"));
    assert_eq!(home.replica("greeter").unwrap()["version"], 2);
    home.ok("replica rollback greeter");
    assert_eq!(home.replica("greeter").unwrap()["version"], 1);
    home.ok("replica rollback greeter --version 2");
    assert_eq!(home.replica("greeter").unwrap()["version"], 2);
    assert_eq!(
        home.replica("greeter").unwrap()["id"],
        3,
        "an update is no new replica"
    );
}

#[test]
fn a_cluster_listens_to_this_machine_alone() {
    let home = Home::with_greeter();
    let addresses = processes::listening(home.path());
    assert!(
        addresses.len() >= 4,
        "gateway, sync server, Alpha, Greeter: {addresses:?}"
    );
    for address in addresses {
        assert!(address.starts_with("0100007F:"), "{address} is not 127.0.0.1");
    }
}
