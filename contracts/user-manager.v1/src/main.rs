//! Prints the manifest of the contract, for `reside build`.

use std::process::ExitCode;

use user_manager_v1::UserManagerContract;

fn main() -> ExitCode {
    reside::contract_main::<UserManagerContract>()
}
