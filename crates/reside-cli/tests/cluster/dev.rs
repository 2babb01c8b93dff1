//! A replica is run from its sources in the place of the one that is loaded, and gives the place back, however it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{self, GREETER, Home, PATIENCE};
use crate::processes;

/// `reside dev` in a folder.
pub struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    /// Starts it, and waits until the replica takes calls.
    pub fn start(home: &Home, folder: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = home.command(&["dev", folder.to_str().unwrap()]);
        command
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // A test that has seen enough needs no more lines.
                let _ = sender.send(line);
            }
        });
        let dev = Self { child, lines };
        dev.until("is ready");
        dev
    }

    /// Waits for a line that has this in it.
    #[track_caller]
    pub fn until(&self, wanted: &str) {
        self.until_all(&[wanted]);
    }

    /// Waits for lines that have these in them, in any order.
    #[track_caller]
    pub fn until_all(&self, wanted: &[&str]) {
        let (mut wanted, mut said) = (wanted.to_vec(), Vec::new());
        while !wanted.is_empty() {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{wanted:?} was not said: {said:#?}");
            };
            wanted.retain(|wanted| !line.contains(wanted));
            said.push(line);
        }
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.ended()
    }

    /// Waits for the end.
    fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

fn greeter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/replicas/greeter")
}

/// Who greets: the program that cargo built, or the one from the image.
#[track_caller]
fn check_who_greets(home: &Home, is_dev: bool) {
    home.greet("Ada").expect_ok();
    let is_there = |name: &str| processes::named(home.path(), name).is_some();
    assert_eq!(is_there("/debug/greeter"), is_dev);
    assert_eq!(is_there("/unpacked/"), !is_dev);
    let replica = home.replica("greeter").unwrap();
    assert_eq!(replica["dev"] != Value::Null, is_dev, "{replica}");
    assert_eq!(home.ok("replica list").contains("  dev  "), is_dev);
}

#[test]
fn the_place_is_given_back_however_the_session_ends() {
    let home = Home::with_cluster();
    let _cargo = harness::cargo();
    let folder = greeter();
    let missing = home.fails(&format!("dev {}", folder.display()));
    let command = format!("reside replica load {GREETER}:latest");
    assert!(missing.contains(&command), "{missing}");
    home.ok(&format!("replica load {GREETER} --yes"));
    home.change_greeting("grant");

    for signal in [Signal::INT, Signal::HUP] {
        let dev = Dev::start(&home, &folder, &[]);
        check_who_greets(&home, true);
        let second = home.fails(&format!("dev {}", folder.display()));
        assert!(second.contains("somebody else has it"), "{second}");
        assert_eq!(dev.end(signal).code(), Some(0));
        check_who_greets(&home, false);
    }
    let dev = Dev::start(&home, &folder, &[]);
    dev.end(Signal::KILL);
    home.eventually("the place is given back", || {
        let replica = home.replica("greeter")?;
        (replica["dev"].is_null() && replica["status"] == "running").then_some(())
    });
    check_who_greets(&home, false);

    // Alpha need not be there when it happens.
    let dev = Dev::start(&home, &folder, &[]);
    processes::kill(&processes::named(home.path(), "replica-main alpha").unwrap());
    dev.end(Signal::KILL);
    home.eventually("the place is given back", || {
        let replica = home.replica("greeter")?;
        (replica["dev"].is_null() && replica["status"] == "running").then_some(())
    });
    check_who_greets(&home, false);

    let dev = Dev::start(&home, &folder, &[]);
    home.ok("down local");
    assert_eq!(dev.ended().code(), Some(1), "nothing is left to run it in");
    home.up();
    home.eventually("the cluster's own instance", || {
        let replica = home.replica("greeter")?;
        (replica["dev"].is_null() && replica["status"] == "running").then_some(())
    });
    check_who_greets(&home, false);
}
