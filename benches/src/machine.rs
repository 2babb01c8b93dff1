//! On what was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines that describe the machine and both sides.
pub fn describe(peer: &Path, runtime: &str) -> Vec<String> {
    let bun = peer.join("node_modules/@oven/bun-linux-x64/bin/bun");
    let version = match runtime {
        "bun" => format!("Bun {}", output(bun.as_os_str(), &["--version"])),
        _ => format!("Node {}", output("node".as_ref(), &["--version"])),
    };
    vec![
        format!("- Machine: {}, {} cores, {}", cpu(), cores(), memory()),
        format!("- System: {}", output("uname".as_ref(), &["-sr"])),
        format!(
            "- ReSide {}, release build; jazz-tools {} on {version}",
            env!("CARGO_PKG_VERSION"),
            package_version(peer).unwrap_or_else(unknown)
        ),
    ]
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn output(program: &std::ffi::OsStr, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(unknown, |text| text.trim().to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn cpu() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)
}

fn memory() -> String {
    field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(unknown, |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0))
}

fn package_version(peer: &Path) -> Option<String> {
    let text = fs::read_to_string(peer.join("node_modules/jazz-tools/package.json")).ok()?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(package.get("version")?.as_str()?.to_owned())
}
