//! A newer program brings newer system replicas: it says so, and they are updated as any replica is.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::json;

use crate::harness::Home;
use crate::processes;

/// The same program with another content.
fn newer_program(folder: &Path) -> PathBuf {
    let path = folder.join("newer-reside");
    fs::copy(env!("CARGO_BIN_EXE_reside"), &path).unwrap();
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"newer")
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_newer_program_updates_the_system() {
    let home = Home::with_cluster();
    assert_eq!(home.json("cluster info local")["updates"], json!([]));
    home.ok("down local");

    let newer = newer_program(home.path());
    let run = |line: &str| -> Output {
        let mut command = home.command_of(&newer, &line.split(' ').collect::<Vec<_>>());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        output
    };
    let updates = [
        "ghcr.io/exeteres/reside/replicas/alpha",
        "ghcr.io/exeteres/reside/replicas/local-sentinel",
    ];
    let up = String::from_utf8(run("up local --detach").stderr).unwrap();
    for identity in updates {
        assert!(up.contains(&format!("`reside replica load {identity}`")), "{up}");
    }
    let info = || -> serde_json::Value {
        serde_json::from_slice(&run("cluster info local --output json").stdout).unwrap()
    };
    assert_eq!(info()["updates"], json!(updates));
    let server = processes::named(home.path(), " sync ").unwrap();
    assert!(
        server.command_line.starts_with(newer.to_str().unwrap()),
        "nobody loads the sync server: {server:?}"
    );

    for identity in updates {
        home.eventually(identity, || {
            let line = ["replica", "load", identity, "--yes"];
            let output = home.command_of(&newer, &line).output().unwrap();
            output.status.success().then_some(())
        });
    }
    home.eventually("nothing to update", || {
        (info()["updates"] == json!([])).then_some(())
    });
    home.wait_for_status(&["alpha", "local-sentinel"], "running");
}
