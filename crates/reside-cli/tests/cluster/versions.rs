//! What an operator does with versions: sees what changes, updates, goes back, unloads, cleans up.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{GREETER, GREETER_V1, Home, VISITOR};
use crate::images;

const HOWDY: &[u8; 7] = b"Howdy, ";
const NOTES: &str = "### Changed\n\n- Says \"Howdy, \".";

/// The outcome for one replica of `reside replica update --all --yes`.
fn update_all(home: &Home, name: &str) -> Value {
    let outcomes = home.json("replica update --all --yes");
    let mut outcomes = outcomes.as_array().unwrap().iter();
    outcomes.find(|outcome| outcome["name"] == name).unwrap().clone()
}

#[test]
fn what_has_changed_is_shown_loaded_and_remembered() {
    let home = Home::with_greeter();
    assert_eq!(update_all(&home, "greeter")["state"], "up-to-date");
    let manifest = images::manifest(&home.images(), GREETER);
    images::publish_greeter(&home.images(), &manifest, HOWDY);

    let asked = home.run(&["replica", "update", "--all"]);
    assert_eq!(asked.code, Some(2), "nobody can be asked: {asked:?}");
    for shown in ["Nothing but the program", "- Says \"Howdy, \"."] {
        assert!(asked.err.contains(shown), "{shown}: {}", asked.err);
    }
    let requests = home.json("load-request list");
    let last = requests.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        last["status"], "rejected",
        "what nobody wanted does not wait: {last}"
    );

    let updated = update_all(&home, "greeter");
    assert_eq!(
        (&updated["state"], &updated["version"]),
        (&json!("updated"), &json!(2))
    );
    assert!(home.greet("Ada").expect_ok().out.contains("Howdy, Ada!"));
    let history = home.json("replica history greeter");
    let shown = |field: &str| -> Vec<Value> {
        history
            .as_array()
            .unwrap()
            .iter()
            .map(|version| version[field].clone())
            .collect()
    };
    assert_eq!(shown("version"), [2, 1]);
    assert_eq!(shown("isCurrent"), [true, false]);
    assert_eq!(shown("releaseNotes")[0], NOTES);
    assert!(home.ok("replica history greeter").contains("2 (current)"));

    home.ok("replica rollback greeter");
    let left = update_all(&home, "greeter");
    assert_eq!(
        left["state"], "rolled-back",
        "what somebody went back from is not loaded again"
    );
    assert!(home.greet("Ada").expect_ok().out.contains("Hello, Ada!"));
    home.ok("replica rollback greeter --version 2");
    assert!(home.greet("Ada").expect_ok().out.contains("Howdy, Ada!"));
}

#[test]
fn permissions_that_come_and_go_are_shown_before_the_approval() {
    let home = Home::with_greeter();
    home.ok(&format!("replica load {VISITOR} --yes"));
    let mut manifest = images::manifest(&home.images(), VISITOR);
    manifest["requirements"]["greeter"]["permissions"] =
        json!([{ "name": "greeting:create", "instanceId": "fr", "params": { "language": "fr" } }]);
    images::publish(&home.images(), &manifest, &["--version"]);
    let asked = home.run(&["replica", "load", VISITOR, "--replica", "visitor"]);
    assert_eq!(asked.code, Some(2));
    assert!(asked.err.contains("Changes"), "{}", asked.err);
    let requests = home.json("load-request list");
    let id = &requests.as_array().unwrap().last().unwrap()["id"];
    let shown = home.json(&format!("load-request show {id}"));
    let part =
        |permission: &str| json!({ "part": "permission", "contract": GREETER_V1, "permission": permission });
    assert_eq!(shown["difference"]["version"], 1);
    assert_eq!(shown["difference"]["added"], json!([part("greeting:create:fr")]));
    let dropped = json!([part("greeting:create:en"), part("greeting:read:all")]);
    assert_eq!(shown["difference"]["dropped"], dropped);
}

#[test]
fn unloading_tells_what_goes_and_needs_a_yes() {
    let home = Home::with_greeter();
    home.ok(&format!("replica load {VISITOR} --yes"));
    let refused = home.fails("replica unload greeter --yes");
    assert!(refused.contains("`visitor` needs it"), "{refused}");
    let asked = home.run(&["replica", "unload", "visitor"]);
    assert_eq!(asked.code, Some(2));
    for told in ["permissions, as it asked", "revoked", "kept by the sync server"] {
        assert!(asked.err.contains(told), "{told}: {}", asked.err);
    }
    assert!(home.replica("visitor").is_some());
    home.ok("replica unload visitor --yes");
    assert!(home.replica("visitor").is_none());
    home.ok("replica unload greeter --yes");
    assert!(home.replica("greeter").is_none());
}

#[test]
fn cleaning_up_leaves_every_version_its_image() {
    let home = Home::with_greeter();
    let manifest = images::manifest(&home.images(), GREETER);
    let second = images::publish_greeter(&home.images(), &manifest, HOWDY);
    home.ok(&format!("replica load {second} --yes"));
    let waiting = images::publish_greeter(&home.images(), &manifest, b"Hullo, ");
    let asked = home.run(&["replica", "load", &waiting]);
    assert_eq!(asked.code, Some(2), "it waits for an approval");
    let needless = images::publish_greeter(&home.images(), &manifest, b"Hallo, ");
    images::publish_greeter(&home.images(), &manifest, b"Servus ");

    let foretold = home.json("image prune --dry-run");
    let pruned = home.json("image prune");
    assert_eq!(pruned["images"], foretold["images"]);
    let images = pruned["images"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{pruned}");
    assert!(needless.ends_with(images[0]["digest"].as_str().unwrap()));
    assert!(pruned["bytes"].as_u64().unwrap() > 0);
    assert_eq!(home.json("image prune")["images"], json!([]));

    // Every version can come back, and what waits can be loaded, from the store alone.
    fs::remove_dir_all(home.path().join("unpacked")).unwrap();
    home.ok("replica rollback greeter --version 1");
    assert!(home.greet("Ada").expect_ok().out.contains("Hello, Ada!"));
    let requests = home.json("load-request list");
    let id = &requests.as_array().unwrap().last().unwrap()["id"];
    home.ok(&format!("load-request approve {id}"));
    assert!(home.greet("Ada").expect_ok().out.contains("Hullo, Ada!"));

    // A cluster that is stopped keeps its images too, one that is gone does not.
    home.ok("down local");
    assert_eq!(home.json("image prune")["images"], json!([]));
    home.ok("cluster delete local --yes");
    assert_eq!(home.json("image prune")["images"].as_array().unwrap().len(), 3);
    home.up();
    home.ok(&format!("replica load {GREETER} --yes"));
}

#[test]
fn two_versions_of_a_contract_are_compared() {
    let home = Home::with_images();
    let older = home.json(&format!("image inspect {GREETER_V1}"))["digest"].clone();
    let mut manifest = images::manifest(&home.images(), GREETER_V1);
    manifest["methods"].as_object_mut().unwrap().remove("count");
    images::publish_contract(&home.images(), &manifest);
    let older = format!("{GREETER_V1}@{}", older.as_str().unwrap());
    let difference = home.json(&format!("contract diff {older} {GREETER_V1}"));
    assert_eq!(difference["breaks"], true);
    assert_eq!(difference["changes"].as_array().unwrap().len(), 1);
    assert!(
        home.ok(&format!("contract diff {older} {GREETER_V1}"))
            .contains("`count`")
    );
    let back = home.json(&format!("contract diff {GREETER_V1} {older}"));
    assert_eq!(back["breaks"], false, "{back}");
    assert!(
        home.fails(&format!("contract diff {GREETER_V1} {GREETER}"))
            .contains("it is a replica")
    );
}
