//! Prints the manifest of the contract, for `reside build`.

use std::process::ExitCode;

use secret_v1::SecretsContract;

fn main() -> ExitCode {
    reside::contract_main::<SecretsContract>()
}
