//! `reside account list`

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::config::Config;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View};

/// List your accounts
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Accounts(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    account_id: String,
    default: bool,
}

impl View for Accounts {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(
            ["NAME", "ACCOUNT", "DEFAULT"],
            "There are no accounts; `reside account create NAME` makes one",
        );
        for row in &self.0 {
            let default = if row.default { "yes" } else { "" };
            table.row([row.name.clone(), row.account_id.clone(), default.to_owned()]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    let config = Config::load(&app.paths)?;
    let default = config.default_account().map(|account| &account.name);
    let rows = config.accounts.iter().map(|account| Row {
        name: account.name.to_string(),
        account_id: account.account_id.to_string(),
        default: Some(&account.name) == default,
    });
    app.ui.show(&Accounts(rows.collect()))
}
