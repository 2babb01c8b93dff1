//! `reside registry list`

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;
use crate::ui::{Drawing, Fields, Table, View};

/// Show logins, mirrors, and registries without TLS
///
/// Logins of Docker are used too, and not shown here.
#[derive(Args, Debug)]
pub struct ListArgs {}

/// The settings of registries, without secrets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Users by registry.
    logins: BTreeMap<String, String>,
    /// Other places by prefix.
    mirrors: BTreeMap<String, String>,
    /// Registries that are spoken to without TLS.
    plain_http: Vec<String>,
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        let plain = match self.plain_http.as_slice() {
            [] => "none but those of this machine".to_owned(),
            some => some.join(", "),
        };
        fields.field("Without TLS", plain);
        for (title, header, empty, rows) in [
            (
                "Logins",
                ["REGISTRY", "USER"],
                "None; `reside registry login REGISTRY` adds one",
                &self.logins,
            ),
            (
                "Mirrors",
                ["PREFIX", "KEPT AT"],
                "None; `reside registry mirror PREFIX PLACE` adds one",
                &self.mirrors,
            ),
        ] {
            let mut table = Table::new(header, empty);
            for (name, value) in rows {
                table.row([name.clone(), value.clone()]);
            }
            fields.table(title, table);
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    show(app)
}

/// Shows the settings as they are now.
pub fn show(app: &App) -> Result<(), CommandError> {
    let settings = images::settings(app)?;
    let mirrors = settings
        .mirrors
        .iter()
        .map(|(prefix, to)| (prefix.to_string(), to.to_string()));
    app.ui.show(&Shown {
        logins: images::logins(&settings),
        mirrors: mirrors.collect(),
        plain_http: settings.plain_http.into_iter().collect(),
    })
}
