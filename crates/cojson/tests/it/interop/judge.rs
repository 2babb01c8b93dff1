//! Runs `interop/format/main.mjs`, which asks the real packages.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The folder of the program.
pub struct Judge(PathBuf);

/// The packages; without them the test is skipped here and fails in CI.
pub fn judge() -> Option<Judge> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    if folder.join("node_modules/cojson").exists() {
        return Some(Judge(folder.join("format")));
    }
    assert!(std::env::var_os("CI").is_none(), "run `npm ci` in interop/");
    eprintln!("skipped: run `npm ci` in interop/ to test against the reference");
    None
}

impl Judge {
    /// One run of the program: what it says to `input`.
    pub fn ask(&self, arguments: &[&str], input: &Value) -> Value {
        let mut program = Command::new("node")
            .arg("main.mjs")
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is needed");
        let mut stdin = program.stdin.take().unwrap();
        let input = input.to_string();
        // It may end without having read what it doesn't need.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = program.wait_with_output().unwrap();
        feeding.join().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
