//! `reside secret edit`

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use super::Stored;
use crate::cli::App;
use crate::cluster::secrets::{Found, parse};
use crate::cluster::session::Session;
use crate::env;
use crate::error::CommandError;

/// What is used if nobody says otherwise.
const EDITOR: &str = "vi";

/// Change the value of a secret in an editor
///
/// The editor is `$VISUAL` or `$EDITOR`. What you save is checked against the schema before it is stored; if it doesn't fit, you
/// can go on editing.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// Name of the secret
    name: String,
}

/// Runs the command.
pub fn run(app: &App, args: EditArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let found = session.secret(&args.name).await?;
        // A value that doesn't fit can't be handed out, so one that does is written anew.
        let before = found.value().ok().flatten();
        let mut text = match &before {
            Some(value) => pretty(value)?,
            None => template(&found)?,
        };
        loop {
            text = edited(&text)?;
            let stored = match parse(&text) {
                Ok(value) if before.as_ref() == Some(&value) => Ok(false),
                Ok(value) => found
                    .set(value)
                    .await
                    .map(|()| true)
                    .map_err(|error| session.secret_failed(error, &args.name)),
                Err(error) => Err(error),
            };
            match stored {
                Ok(is_changed) => {
                    return app.ui.show(&Stored {
                        name: args.name,
                        is_changed,
                    });
                }
                Err(error) if std::io::stdin().is_terminal() => {
                    app.ui.report(&error);
                    if !app.ui.confirm("Edit it again?", false)? {
                        return Err(CommandError::failed("nothing was stored"));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    })
}

fn pretty(value: &Value) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(value);
    text.map_err(|why| CommandError::failed("cannot write the value as JSON").because(why))
}

/// What to begin with: the fields that the schema names, without values.
fn template(found: &Found) -> Result<String, CommandError> {
    let schema = found
        .secret
        .definition
        .as_ref()
        .map(|definition| &definition.schema);
    let fields = schema.and_then(|schema| schema["properties"].as_object());
    let fields = fields.map(|fields| fields.keys().map(|name| (name.clone(), Value::Null)).collect());
    pretty(&fields.map_or(Value::Null, Value::Object))
}

/// Lets a person edit a text, in a file that only this user can read and that is gone afterwards.
fn edited(text: &str) -> Result<String, CommandError> {
    let failed = |why: std::io::Error| CommandError::failed("cannot edit the value").because(why);
    let mut file = tempfile::Builder::new()
        .prefix("reside-")
        .suffix(".json")
        .tempfile()
        .map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.flush())
        .map_err(failed)?;
    let editor = env::read("VISUAL").or_else(|| env::read("EDITOR"));
    let editor = editor.unwrap_or_else(|| EDITOR.into());
    // As other programs do, so that an editor can have options.
    let script = format!("{} \"$1\"", editor.to_string_lossy());
    let status = Command::new("sh")
        .args(["-c", &script, "reside"])
        .arg(file.path())
        .status()
        .map_err(failed)?;
    if !status.success() {
        return Err(
            CommandError::failed("the editor has failed, so nothing was stored")
                .because(format!("`{}` ended with {status}", editor.to_string_lossy())),
        );
    }
    fs::read_to_string(file.path()).map_err(failed)
}
