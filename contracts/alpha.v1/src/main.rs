//! Prints the manifest of the contract, for `reside build`.

use std::process::ExitCode;

use alpha_v1::AlphaContract;

fn main() -> ExitCode {
    reside::contract_main::<AlphaContract>()
}
