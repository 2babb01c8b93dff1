//! New crates build, pass their test, load, and can be worked on while they run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::dev::Dev;
use crate::harness::{self, Home};

/// The folder for what is built: what the workspace has built already needn't be built again.
fn target() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
    let target = folders.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.unwrap().to_owned()
}

/// Lets a command build new crates without a network.
fn offline(command: &mut Command) -> &mut Command {
    command
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_NET_OFFLINE", "true")
}

#[track_caller]
fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_new_contract_and_a_new_replica_work_at_once() {
    let home = Home::with_cluster();
    let _cargo = harness::cargo();
    // Inside of the clone, so that cargo finds the same settings there.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (contract, replica) = (folder.path().join("notes.v2"), folder.path().join("clock-work"));
    home.ok(&format!("new contract notes.v2 {}", contract.display()));
    home.ok(&format!("new replica clock-work {}", replica.display()));
    let again = home.fails(&format!("new replica clock-work {}", replica.display()));
    assert!(again.contains("is there already"), "{again}");

    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    for folder in [&contract, &replica] {
        fs::copy(&lock, folder.join("Cargo.lock")).unwrap();
        let mut test = Command::new(env!("CARGO"));
        succeed(offline(test.args(["test", "--quiet"]).current_dir(folder)));
        let mut build = home.command(&["build", folder.to_str().unwrap(), "--profile", "dev"]);
        succeed(offline(&mut build));
    }
    let images = home.json("image list");
    let mut identities = images
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["identity"].as_str().unwrap());
    let identity = identities
        .find(|identity| identity.ends_with("/clock-work"))
        .unwrap();
    home.ok(&format!("replica load {identity} --yes"));
    let log = || home.ok("replica logs clock-work");
    assert!(log().contains("started starts=1"), "{}", log());

    // Changed while it runs, it says its new words, and remembers what it did before.
    let target = target();
    let env = [
        ("CARGO_TARGET_DIR", target.to_str().unwrap()),
        ("CARGO_NET_OFFLINE", "true"),
    ];
    let dev = Dev::start(&home, &replica, &env);
    let source = replica.join("src/lib.rs");
    let changed = fs::read_to_string(&source)
        .unwrap()
        .replace("\"started\"", "\"started anew\"");
    fs::write(&source, format!("{changed}\nnonsense")).unwrap();
    dev.until("the last program runs on");
    fs::write(&source, changed).unwrap();
    dev.until_all(&["started anew starts=3", "is ready"]);
    assert_eq!(dev.end(Signal::INT).code(), Some(0));
    assert!(log().contains("started starts=4"), "{}", log());
}
