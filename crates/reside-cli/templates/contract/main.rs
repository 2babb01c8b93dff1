//! Prints the manifest of the contract, which `reside build` puts into its image.

fn main() -> std::process::ExitCode {
    reside::contract_main::<@crate@::@Name@Contract>()
}
