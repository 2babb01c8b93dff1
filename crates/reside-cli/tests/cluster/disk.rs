//! A full disk. The cluster's folder is a small file system of the test's own, in a namespace where a user may mount one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::{GREETER, Home, VISITOR};
use crate::processes;

/// Set in the namespace.
const INSIDE: &str = "RESIDE_TEST_MAY_MOUNT";
const NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];

/// Runs one test of this binary again, where it may mount.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn again_in_a_namespace(test: &str) {
    let mut probe = Command::new("unshare");
    let probe = probe.args(NAMESPACE).args(["mount", "-t", "tmpfs", "tmpfs"]);
    let probe = probe.arg(std::env::temp_dir()).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        // Not an error in CI either: many containers forbid it, whatever is installed.
        eprintln!("skipped: this system lets no user mount a file system in a namespace");
        return;
    }
    let mut command = Command::new("unshare");
    let this = std::env::current_exe().unwrap();
    let inside = command.args(NAMESPACE).arg(this).args(["--exact", test]);
    assert!(inside.env(INSIDE, "1").status().unwrap().success());
}

/// A small file system, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]);
        assert!(mount.arg(folder).status().unwrap().success());
        Self(folder.to_owned())
    }

    /// Takes all space that is left; returns the file that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It goes with the namespace anyway.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    if std::env::var_os(INSIDE).is_none() {
        return again_in_a_namespace("disk::a_full_disk_loses_nothing");
    }
    let home = Home::with_images();
    let disk = SmallDisk::mount(&home.cluster(), "24m");
    // What is said about the full disk must find room.
    let _logs = SmallDisk::mount(&home.cluster().join("logs"), "4m");
    home.up();
    home.ok(&format!("replica load {GREETER} --yes"));
    home.change_greeting("grant");
    home.greet("Ada").expect_ok();

    let filler = disk.fill();
    let mut acknowledged = 1;
    // What was allocated before takes a few more.
    let refused = home.eventually("a refusal", || {
        let said = home.greet("Eve");
        acknowledged += u64::from(said.code == Some(0));
        (said.code != Some(0)).then_some(said)
    });
    assert_eq!(refused.code, Some(1), "{refused:?}");
    home.eventually("what the sync server says", || {
        let logs = processes::read_folder(&home.cluster().join("logs"));
        logs.contains("database or disk is full").then_some(())
    });

    fs::remove_file(filler).unwrap();
    home.eventually("a greeting", || (home.greet("Eve").code == Some(0)).then_some(()));
    acknowledged += 1;
    let count = home.json("call greeter count")["count"].as_u64().unwrap();
    assert!(count >= acknowledged, "{count} of {acknowledged}");
    home.eventually("a load", || {
        let said = home.run(&["replica", "load", VISITOR, "--yes"]);
        (said.code == Some(0)).then_some(())
    });
    home.wait_for_status(&["alpha", "local-sentinel", "greeter"], "running");
    // One that is stopped before it has ended greets once more after the next start.
    home.wait_for_status(&["visitor"], "completed");

    home.ok("down local");
    home.up();
    home.eventually("the same as before", || {
        let said = home.run(&["call", "greeter", "count", "--output", "json"]);
        let now: serde_json::Value = serde_json::from_str(&said.out).ok()?;
        (now == json!({ "count": count + 1 })).then_some(())
    });
}
