//! `reside registry login`

use std::io::{self, IsTerminal, Read};

use clap::Args;
use reside_image::Registry;
use reside_image::registry::Login;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// A longer one is a file by mistake.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// Log in to a registry
///
/// The registry is asked whether it accepts the login. It is kept in a file that only you can read, and comes before a
/// login of Docker for the same registry. Those need nothing more: Docker's configuration and credential helpers are
/// used as they are.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Registry, as `ghcr.io` or `localhost:5000`
    #[arg(value_parser = super::registry_name)]
    registry: String,

    /// Name of the user
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,

    /// Read the password, or the access token, from standard input
    #[arg(long, requires = "user")]
    password_stdin: bool,
}

/// Runs the command.
pub fn run(app: &App, args: LoginArgs) -> Result<(), CommandError> {
    let LoginArgs {
        registry,
        user,
        password_stdin,
    } = args;
    let (user, password) = match (user, password_stdin) {
        (Some(user), true) => (user, read_password()?),
        (user, _) => ask(&registry, user)?,
    };
    let login = Login::new(&user, &password);
    let mut settings = images::settings(app)?;
    settings.logins.insert(registry.clone(), login.clone());
    app.block_on(async {
        let _progress = app.ui.progress(format!("Asking {registry}"));
        let checked = Registry::new(settings).check(&registry).await;
        checked.map_err(|error| {
            CommandError::failed(format!("cannot log in to {registry} as `{user}`")).because(error)
        })
    })?;
    images::edit_settings(app, |settings| {
        settings.logins.insert(registry.clone(), login);
        Ok(())
    })?;
    super::list::show(app)
}

fn read_password() -> Result<String, CommandError> {
    let mut password = String::new();
    let read = io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut password);
    read.map_err(|why| CommandError::failed("cannot read the password").because(why))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    match password.is_empty() {
        true => Err(CommandError::usage("the password is empty")),
        false => Ok(password),
    }
}

fn ask(registry: &str, user: Option<String>) -> Result<(String, String), CommandError> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(CommandError::usage("cannot ask for the password")
            .because("the command does not run in a terminal")
            .help(format!(
                "`reside registry login {registry} --user NAME --password-stdin < FILE`"
            )));
    }
    let failed = |why: dialoguer::Error| CommandError::failed("cannot ask").because(why);
    let user = match user {
        Some(user) => user,
        None => dialoguer::Input::new()
            .with_prompt(format!("User at {registry}"))
            .interact_text()
            .map_err(failed)?,
    };
    let password = dialoguer::Password::new()
        .with_prompt("Password or access token")
        .interact()
        .map_err(failed)?;
    Ok((user, password))
}
