//! What people and programs see: the reference page, tables, JSON and errors.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::harness::{GREETER, Home, VISITOR};

#[test]
fn the_reference_page() {
    let home = Home::empty();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = home.ok("manual");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(
        page,
        std::fs::read_to_string(&path).unwrap_or_default(),
        "write docs/cli.md anew with INSTA_UPDATE=always"
    );
}

/// What differs from run to run, by something that does not.
fn filtered() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"sha256:[0-9a-f]+", "sha256:[digest]");
    // The rest of one that was wrapped.
    settings.add_filter(r"(?m)^( +)[0-9a-f:]+$", "$1[digest]");
    settings.add_filter(r"co_z\w+", "co_z[id]");
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "2026-01-31 12:00:00Z");
    settings.set_prepend_module_to_snapshot(false);
    settings
}

#[test]
fn common_errors() {
    let home = Home::with_images();
    let mut text = String::new();
    for line in [
        "account create admin",
        "account create Not/A/Name",
        "replica list",
        "replica list --cluster other",
        "replica list --as nobody",
        "up local --port 0x1",
        "up local --as nobody",
        "down other",
        "cluster info other",
        "cluster delete other --yes",
        "image inspect ghcr.io/exeteres/reside/replicas/none",
        "image inspect ghcr.io/exeteres/reside/replicas/greeter:none",
        "image inspect greeter",
        "build examples/nothing",
        "call greeter greet {\"name\":",
        "permission grant greeter.v1 a:b --account admin",
        "replica loda x",
    ] {
        text += &format!("$ reside {line}\n{}\n", home.fails(line));
    }
    filtered().bind(|| insta::assert_snapshot!("common_errors", text));
}

/// The same JSON with the kinds of its values instead of the values; of a list, the first entry.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(entries) => json!(entries.iter().take(1).map(shape).collect::<Vec<_>>()),
        Value::Object(fields) => {
            // Only a working tree without changes is at a commit.
            let is_fixed = |name: &str| {
                !["created", "revision"]
                    .map(|label| format!("org.opencontainers.image.{label}"))
                    .contains(&name.to_owned())
            };
            let fields = fields.iter().filter(|(name, _)| is_fixed(name));
            let fields = fields.map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

#[test]
fn tables_and_json() {
    let home = Home::with_cluster();
    home.ok(&format!("replica load {GREETER} --yes"));
    home.ok(&format!("replica load {VISITOR} --yes"));
    home.fails("replica load ghcr.io/exeteres/reside/replicas/none --yes");
    home.change_greeting("grant");
    home.wait_for_status(&["greeter", "alpha", "local-sentinel"], "running");

    let mut tables = String::new();
    for line in ["replica list", "contract list", "load-request list"] {
        for width in ["80", "120"] {
            let words: Vec<_> = line.split(' ').collect();
            let output = home.command(&words).env("COLUMNS", width).output().unwrap();
            let table = String::from_utf8(output.stdout).unwrap();
            tables += &format!("$ COLUMNS={width} reside {line}\n{table}\n");
        }
    }
    filtered().bind(|| insta::assert_snapshot!("tables", tables));

    let mut shapes = String::new();
    for line in [
        "account list",
        "cluster list",
        "cluster info local",
        "replica list",
        "replica info greeter",
        "load-request list",
        "load-request show 5",
        "contract list",
        "contract info ghcr.io/exeteres/reside/contracts/greeter.v1",
        "permission list --account admin",
        "image list",
        "image inspect ghcr.io/exeteres/reside/replicas/visitor",
    ] {
        let shape = serde_json::to_string_pretty(&shape(&home.json(line))).unwrap();
        shapes += &format!("$ reside {line} --output json\n{shape}\n\n");
    }
    filtered().bind(|| insta::assert_snapshot!("json", shapes));
}
