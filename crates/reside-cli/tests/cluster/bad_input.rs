//! What can't work is refused with what, why and what to do, and changes nothing.

use std::fs;
use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{GREETER, GREETER_V1, Home, VISITOR};
use crate::images::{publish, publish_label};

fn replica_manifest(name: &str) -> Value {
    json!({
        "type": "replica",
        "identity": format!("ghcr.io/exeteres/reside/replicas/{name}"),
        "info": { "name": name, "class": "long-running", "exclusive": false, "scalable": false },
        "displayInfo": { "en": { "title": name, "description": "" } },
        "implementations": {},
        "requirements": {},
    })
}

#[test]
fn images_that_cannot_be_loaded() {
    let home = Home::with_cluster();
    let base64 = |json: &Value| STANDARD.encode(json.to_string());
    let mut cat = replica_manifest("cat");
    cat["type"] = json!("cat");
    for (name, label) in [
        ("bare", None),
        ("text", Some("%%%".to_owned())),
        ("words", Some(STANDARD.encode("{ nothing"))),
        ("cat", Some(base64(&cat))),
        ("thief", Some(base64(&replica_manifest("greeter")))),
    ] {
        let identity = format!("ghcr.io/exeteres/reside/replicas/{name}");
        publish_label(&home.images(), &identity, label.as_deref());
    }
    let mut greedy = replica_manifest("greedy");
    greedy["requirements"]["greeter"] = json!({
        "identity": GREETER_V1, "permissions": [{ "name": "greeting:steal", "params": {} }],
    });
    publish(&home.images(), &greedy, &["--version"]);
    let cases = [
        ("ghcr.io/exeteres/reside/replicas/none", "there is no image"),
        ("ghcr.io/exeteres/reside/replicas/bare", "has no label"),
        ("ghcr.io/exeteres/reside/replicas/text", "is not base64"),
        ("ghcr.io/exeteres/reside/replicas/words", "is not JSON"),
        ("ghcr.io/exeteres/reside/replicas/cat", "type is"),
        ("ghcr.io/exeteres/reside/replicas/thief", "replicas/greeter"),
        (GREETER_V1, "only replicas can be loaded"),
        (VISITOR, "no replica implements"),
        ("ghcr.io/exeteres/reside/replicas/greedy", "greeting:steal"),
    ];
    for (image, reason) in cases {
        let error = home.fails(&format!("replica load {image} --yes"));
        assert!(error.contains(reason), "{image}: {error}");
    }
    assert_eq!(home.json("replica list").as_array().unwrap().len(), 3);
    let requests = home.json("load-request list");
    assert!(
        requests.as_array().unwrap()[3..]
            .iter()
            .all(|request| request["status"] == "invalid")
    );

    home.ok(&format!("replica load {GREETER} --yes"));
    let mut changed = replica_manifest("greeter");
    changed["implementations"]["greeter"] = json!({ "identity": GREETER_V1 });
    publish(&home.images(), &changed, &["--version"]);
    let error = home.fails(&format!("replica load {GREETER} --yes"));
    assert!(error.contains("can't change"), "{error}");
    let taken = home.fails(&format!("replica load {VISITOR} --name greeter --yes"));
    assert!(taken.contains("is taken"), "{taken}");
    assert_eq!(
        home.json("call greeter count"),
        json!({ "count": 0 }),
        "Greeter is as it was"
    );
}

#[test]
fn a_replica_that_exits_at_once() {
    let home = Home::with_cluster();
    publish(&home.images(), &replica_manifest("hasty"), &["--version"]);
    let error = home.fails("replica load ghcr.io/exeteres/reside/replicas/hasty --yes");
    for part in [
        "`hasty` does not run: error",
        "exit status: 0",
        concat!("reside ", env!("CARGO_PKG_VERSION")),
        "reside replica unload hasty",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(home.ok("replica logs hasty").contains("reside "));
    home.ok("replica unload hasty --yes");
    assert!(home.replica("hasty").is_none());
}

#[test]
fn calls_and_permissions_that_make_no_sense() {
    let home = Home::with_greeter();
    let fails = |arguments: &[&str], reason: &str| {
        let said = home.run(arguments);
        assert!(matches!(said.code, Some(1 | 2)), "{said:?}");
        assert!(said.err.contains(reason), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    };
    fails(&["call", "greeter", "greet", "{\"name\":"], "not valid JSON");
    fails(&["call", "greeter", "greet", "{}"], "missing field `name`");
    fails(
        &["call", "greeter", "greet", r#"{"name":5,"language":"en"}"#],
        "`name`: invalid type: integer `5`, expected a string",
    );
    fails(&["call", "greeter", "sing"], "its methods are");
    fails(&["call", "nobody", "greet"], "reside replica list");
    fails(
        &["call", "greeter", "count", "--contract", "ghcr.io/other/contract"],
        "does not implement",
    );
    let grant = |permission: &'static str, params: &'static str| {
        [
            "permission",
            "grant",
            GREETER_V1,
            permission,
            "--account",
            "admin",
            "--params",
            params,
        ]
    };
    fails(&grant("greeting:create", "{\"language\""), "not valid JSON");
    fails(&grant("greeting:create", "[]"), "object");
    fails(&grant("greeting:create", "{}"), "language");
    fails(
        &grant("greeting:create", "{\"language\":5}"),
        "`/language`: 5 is not of type \"string\"",
    );
    fails(&grant("greeting:steal", "{}"), "it has: greeting:create");
    fails(
        &[
            "permission",
            "grant",
            "ghcr.io/other/contract",
            "a:b",
            "--account",
            "admin",
        ],
        "ghcr.io/other/contract",
    );
    fails(&["permission", "list", "--account", "nobody"], "nobody");
    fails(&["load-request", "approve", "99"], "no load request 99");
    fails(
        &["replica", "rollback", "greeter", "--version", "9"],
        "no version 9",
    );
    fails(&["replica", "unload", "alpha"], "part of the cluster itself");
}

#[test]
fn a_second_start_and_a_taken_port() {
    let home = Home::with_cluster();
    assert!(home.fails("up local --detach").contains("is running already"));
    assert!(home.fails("up local").contains("is running already"));
    home.ok("down local");

    let endpoint = home.json("cluster info local")["endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    let taken = TcpListener::bind(endpoint.trim_start_matches("http://")).unwrap();
    let error = home.fails("up local --detach");
    assert!(
        error.contains("in use") && error.contains(&endpoint[7..]),
        "{error}"
    );
    drop(taken);
    home.up();
    assert_eq!(home.json("replica list").as_array().unwrap().len(), 3);
}

#[test]
fn corrupt_files() {
    let home = Home::with_cluster();
    home.ok("down local");
    for path in [
        home.path().join("config.yaml"),
        home.cluster().join("cluster.json"),
    ] {
        let good = fs::read_to_string(&path).unwrap();
        for bad in ["{", "\0\0", "- 1\n- 2\n"] {
            fs::write(&path, bad).unwrap();
            let error = home.fails("up local --detach");
            assert!(
                error.contains(path.file_name().unwrap().to_str().unwrap()),
                "{error}"
            );
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                bad,
                "it is left for its owner to look at"
            );
        }
        fs::write(&path, good).unwrap();
    }
    home.up();
    assert_eq!(home.json("replica list").as_array().unwrap().len(), 3);
}
