//! The Visitor as a process.

fn main() -> std::process::ExitCode {
    reside::main(visitor::definition(), visitor::run)
}
