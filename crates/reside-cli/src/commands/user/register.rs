//! `reside user register`

use clap::Args;
use user_manager_v1::Register;

use super::view::Shown;
use crate::cli::App;
use crate::cluster::session::Session;
use crate::error::CommandError;

/// Become a user of the cluster
///
/// Makes your account a user of the open realm `default`; nothing changes if it is one. Users have the default permissions
/// and can be granted others by their number.
#[derive(Args, Debug)]
pub struct RegisterArgs {
    /// What you are called [default: the name of your account]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub fn run(app: &App, args: RegisterArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let name = args.name.unwrap_or_else(|| session.account().to_owned());
        let registered = session
            .user_manager()
            .await?
            .client()
            .register(Register { name })
            .await;
        app.ui.show(&Shown(registered.map_err(session.users_refused())?))
    })
}
