//! `reside account create`

use clap::Args;
use cojson::Credentials;
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    name: &'a Name,
    account_id: String,
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
    let name = args.name;
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
        let (name, account_id, recipients) = (name.clone(), account_id.clone(), vec![recipient]);
        config.accounts.push(Account {
            name: name.clone(),
            account_id,
            recipients,
            encrypted_agent_secret,
        });
        Ok(config
            .default_account()
            .is_some_and(|default| default.name == name))
    })?;
    app.ui.show(&Created {
        name: &name,
        account_id: account_id.to_string(),
        default,
    })
}
