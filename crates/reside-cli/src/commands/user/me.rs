//! `reside user me`

use clap::Args;
use reside::CallError;
use reside::rpc::Code;
use user_manager_v1::Me;

use super::view::Shown;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Show which user you are and what you may do
#[derive(Args, Debug)]
pub struct MeArgs {}

/// Runs the command.
pub fn run(app: &App, MeArgs {}: MeArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        match session.user_manager().await?.client().me(Me {}).await {
            Ok(profile) => app.ui.show(&Shown(profile)),
            Err(CallError::Refused(error)) if error.code() == Code::NotFound => Err(CommandError::failed(
                format!("the account `{}` is no user of this cluster", session.account()),
            )
            .help("`reside user register` makes it one")),
            Err(error) => Err(session.users_refused()(error)),
        }
    })
}
