//! The processes behind a home, as the kernel sees them.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub command_line: String,
}

/// All processes that belong to a home: their command line or their environment names it.
pub fn of(home: &Path) -> Vec<Process> {
    let home = home.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
        let command_line = text(read("cmdline"));
        if command_line.contains(home) || text(read("environ")).contains(home) {
            found.push(Process { pid, command_line });
        }
    }
    found
}

/// The process whose command line has this in it.
pub fn named(home: &Path, name: &str) -> Option<Process> {
    of(home)
        .into_iter()
        .find(|process| process.command_line.contains(name))
}

/// The addresses that the processes of a home listen on, as `/proc/net/tcp` and `tcp6` write them.
pub fn listening(home: &Path) -> Vec<String> {
    let link = |file: fs::DirEntry| fs::read_link(file.path()).ok()?.to_str().map(str::to_owned);
    let sockets: Vec<String> = of(home)
        .iter()
        .filter_map(|process| fs::read_dir(format!("/proc/{}/fd", process.pid)).ok())
        .flat_map(|files| files.flatten().filter_map(link))
        .collect();
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Without IPv6 there is no such table.
        for line in fs::read_to_string(table).unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == "0A" && sockets.contains(&format!("socket:[{}]", fields[9])) {
                found.push(fields[1].to_owned());
            }
        }
    }
    found
}

/// Ends a process without a word of warning. It may just have ended by itself.
pub fn kill(process: &Process) {
    let _ = kill_process(Pid::from_raw(process.pid).unwrap(), Signal::KILL);
}

/// Asks a process to end.
pub fn ask_to_end(process: &Process) {
    kill_process(Pid::from_raw(process.pid).unwrap(), Signal::TERM).unwrap();
}

/// Ends everything that belongs to a home, also what is started meanwhile.
pub fn kill_all(home: &Path) {
    loop {
        let processes = of(home);
        if processes.is_empty() {
            return;
        }
        processes.iter().for_each(kill);
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// All files of a folder, or the file itself, as one text.
pub fn read_folder(path: &Path) -> String {
    if path.is_dir() {
        let files = fs::read_dir(path).unwrap().flatten();
        return files.map(|file| read_folder(&file.path())).collect();
    }
    format!(
        "\n== {}\n{}",
        path.display(),
        fs::read_to_string(path).unwrap_or_default()
    )
}
