//! The Greeter as a process.

fn main() -> std::process::ExitCode {
    reside::main(greeter::definition(), greeter::run)
}
