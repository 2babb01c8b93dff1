//! The replica as a process.

fn main() -> std::process::ExitCode {
    reside::main(@crate@::definition(), @crate@::run)
}
