//! What other tools say about our store. They are skipped where they are not installed, except with `CI=true`.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
};

use reside_image::{Reference, Store, Tag};
use serde_json::Value;

use crate::support::{CONTRACT, GREETER, Home, identity, tag};

fn skopeo(args: &[&str]) -> Output {
    Command::new("skopeo")
        .args(["--insecure-policy"])
        .args(args)
        .output()
        .unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = skopeo(args);
    assert!(
        output.status.success(),
        "skopeo {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Tells whether the tool is there; its absence fails the test where everything should be there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn is_there() -> bool {
    let there = Command::new("skopeo").arg("--version").output().is_ok();
    if !there {
        assert!(env::var("CI").as_deref() != Ok("true"), "skopeo is not installed");
        eprintln!("skipped: skopeo is not installed");
    }
    there
}

fn address(store: &Path, name: &str) -> String {
    format!("oci:{}:{name}", store.display())
}

#[test]
fn skopeo_reads_the_store() {
    if !is_there() {
        return;
    }
    let home = Home::new();
    home.replica(b"old program", &[Tag::latest()]);
    let replica = home.replica(b"program", &[Tag::latest(), tag("v1.2-rc_1")]);
    let contract = home.contract(&[Tag::latest()]);

    let at = address(home.store.path(), &format!("{GREETER}:latest"));
    let inspected = json(&["inspect", &at]);
    assert_eq!(inspected["Digest"], replica.digest.to_string());
    assert_eq!(
        inspected["Layers"][0],
        replica.manifest.layers[0].digest.to_string()
    );
    assert_eq!(
        inspected["Labels"]["io.reside.manifest"],
        replica.labels()["io.reside.manifest"]
    );
    let config = json(&["inspect", "--config", &at]);
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        replica.config.rootfs.diff_ids[0].to_string()
    );
    assert_eq!(config["config"]["Entrypoint"][0], "/app");
    let other = json(&[
        "inspect",
        &address(home.store.path(), &format!("{GREETER}:v1.2-rc_1")),
    ]);
    assert_eq!(other["Digest"], replica.digest.to_string());

    let at = address(home.store.path(), &format!("{CONTRACT}:latest"));
    let inspected = json(&["inspect", &at]);
    assert_eq!(inspected["Digest"], contract.digest.to_string());
    assert_eq!(inspected["Layers"].as_array().map_or(0, Vec::len), 0);
    assert_eq!(json(&["inspect", "--config", &at])["os"], "unknown");
}

#[test]
fn skopeo_copies_from_and_into_the_store() {
    if !is_there() {
        return;
    }
    let (home, other) = (Home::new(), Home::new());
    let replica = home.replica(b"program", &[Tag::latest()]);
    let contract = home.contract(&[Tag::latest()]);
    for (name, image) in [(GREETER, &replica), (CONTRACT, &contract)] {
        let from = address(home.store.path(), &format!("{name}:latest"));
        let to = address(other.store.path(), &format!("{name}:copied"));
        let output = skopeo(&["copy", "--preserve-digests", &from, &to]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let store = Store::open(other.store.path()).unwrap();
        let found = store
            .resolve(&Reference::tagged(identity(name), tag("copied")))
            .unwrap();
        assert_eq!(store.image(&found.digest).unwrap(), *image);
    }
    other.replica(b"program", &[Tag::latest()]); // an index that another tool wrote is written on
    assert_eq!(other.store.list().unwrap().len(), 3);

    // Checks the digests of the layers before compression, which only unpacking tells.
    let archive = home.directory.path().join("replica.tar");
    let from = address(home.store.path(), &format!("{GREETER}:latest"));
    let output = skopeo(&[
        "copy",
        &from,
        &format!("docker-archive:{}:{GREETER}:latest", archive.display()),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut entries = tar::Archive::new(fs::File::open(&archive).unwrap());
    let layer = format!("{}.tar", replica.config.rootfs.diff_ids[0].hex());
    let has_layer = entries
        .entries()
        .unwrap()
        .any(|entry| entry.unwrap().path().unwrap().to_str() == Some(&layer));
    assert!(has_layer, "{layer}");
}
