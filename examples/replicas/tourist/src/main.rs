//! The Tourist as a process.

fn main() -> std::process::ExitCode {
    reside::main(tourist::definition(), tourist::run)
}
