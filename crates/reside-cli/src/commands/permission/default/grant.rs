//! `reside permission default grant`

use clap::Args;

use super::DefaultArgs;
use crate::cluster::period::PeriodArgs;

/// Grant a permission to every user, present and future ones
///
/// It holds at every replica that implements the contract, also at those that are loaded later. With `--for` or `--until` it
/// ends by itself.
#[derive(Args, Debug)]
pub struct GrantArgs {
    #[command(flatten)]
    pub(super) permission: DefaultArgs,

    #[command(flatten)]
    pub(super) period: PeriodArgs,
}
