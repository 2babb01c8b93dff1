//! `reside account create`

use clap::Args;
use cojson::Credentials;
use cojson::ids::AccountId;
use cojson::secrets::{AgentSecret, SecretSeed};
use jazz::driver::OsEntropy;
use serde::Serialize;

use crate::cli::App;
use crate::config::{Account, Config};
use crate::error::CommandError;
use crate::names::Name;
use crate::secrets;
use crate::ui::{Drawing, STRONG, View};

/// Create an account on this machine
///
/// The account is a key pair. Its secret is kept in the configuration, encrypted with a key in the keyring of the
/// operating system or, where there is none, in a file that only you can read. The first account is the default one;
/// the cluster learns of an account when it is first used there.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Name of the account, which others will see
    name: Name,
}

/// An account that was made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created<'a> {
    name: &'a Name,
    account_id: AccountId,
    default: bool,
}

impl View for Created<'_> {
    fn draw(&self) -> Drawing {
        let note = if self.default {
            ", your default account"
        } else {
            ""
        };
        Drawing::Text(format!(
            "Created account {STRONG}{}{STRONG:#}{note}: {}",
            self.name, self.account_id
        ))
    }
}

/// Runs the command.
pub fn run(app: &App, args: CreateArgs) -> Result<(), CommandError> {
    app.ui.show(&create(app, &args.name)?)
}

/// Makes an account that only this machine knows.
pub fn create<'a>(app: &App, name: &'a Name) -> Result<Created<'a>, CommandError> {
    let secret = AgentSecret::from_seed(&SecretSeed::random(&mut OsEntropy));
    let account_id = Credentials::of(secret.clone()).account_id;
    let default = Config::edit(&app.paths, |config| {
        if let Some(account) = config.account(name.as_str()) {
            return Err(
                CommandError::failed(format!("there is an account `{name}` already"))
                    .because(format!("its id is {}", account.account_id))
                    .help("choose another name; `reside account list` shows those that are taken"),
            );
        }
        let (recipient, encrypted_agent_secret) = secrets::encrypt(&app.ui, &app.paths, &secret)?;
        config.accounts.push(Account {
            name: name.clone(),
            account_id: account_id.clone(),
            recipients: vec![recipient],
            encrypted_agent_secret,
        });
        Ok(config
            .default_account()
            .is_some_and(|default| default.name == *name))
    })?;
    Ok(Created {
        name,
        account_id,
        default,
    })
}
