//! Prints the manifest of the contract, for `reside build`.

use std::process::ExitCode;

use kubernetes_sentinel_v1::KubernetesSentinelContract;

fn main() -> ExitCode {
    reside::contract_main::<KubernetesSentinelContract>()
}
