//! `reside permission default revoke`

use clap::Args;

use super::DefaultArgs;

/// Revoke a permission that every user has
///
/// Users to whom it was granted by itself keep it.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    #[command(flatten)]
    pub(super) permission: DefaultArgs,
}
