//! `reside replica history`

use alpha_v1::{ReadReplicas, ReplicaVersion};
use clap::Args;
use serde::Serialize;

use crate::cli::App;
use crate::cluster::rollout::status_text;
use crate::cluster::selector::ReplicaSelector;
use crate::cluster::session::Session;
use crate::error::CommandError;
use crate::ui::{Drawing, Table, View, short_digest};

/// List the versions of a replica, the newest first
///
/// `reside replica rollback NAME --version NUMBER` makes any of them the current one.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Replica, by name or number
    replica: ReplicaSelector,
}

#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<Row>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    version: u32,
    is_current: bool,
    status: &'static str,
    error_message: Option<String>,
    created_at: String,
    load_request_id: u32,
    identity: String,
    digest: String,
    release_notes: Option<String>,
}

impl View for History {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["VERSION", "STATUS", "LOADED", "DIGEST", "NOTES"], "No versions");
        for row in &self.0 {
            let current = if row.is_current { " (current)" } else { "" };
            let notes = row.release_notes.as_deref().unwrap_or_default();
            table.row([
                format!("{}{current}", row.version),
                row.status.to_owned(),
                row.created_at.clone(),
                short_digest(&row.digest),
                first_words(notes),
            ]);
        }
        Drawing::Table(table)
    }
}

/// The first line of Markdown that says something.
fn first_words(notes: &str) -> String {
    let mut lines = notes.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    line.unwrap_or_default()
        .trim_start_matches(['-', '*', ' '])
        .to_owned()
}

/// Runs the command.
pub fn run(app: &App, args: HistoryArgs) -> Result<(), CommandError> {
    app.block_on(async {
        let session = Session::open(app).await?;
        let record = session.replica(&args.replica).await?;
        let versions = session.versions(&record).await;
        let versions =
            versions.map_err(|error| session.cannot_load::<ReadReplicas>(error, "the versions"))?;
        let rows = versions
            .into_iter()
            .rev()
            .map(|version| row(version, record.current_version));
        app.ui.show(&History(rows.collect()))
    })
}

fn row(version: ReplicaVersion, current: u32) -> Row {
    let (identity, digest) = version.image.split_once('@').unwrap_or((&version.image, ""));
    Row {
        version: version.id,
        is_current: version.id == current,
        status: status_text(version.status),
        error_message: version.error_message.clone(),
        created_at: version.created_at.to_string(),
        load_request_id: version.load_request_id,
        identity: identity.to_owned(),
        digest: digest.to_owned(),
        release_notes: version.release_notes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::first_words;

    #[test]
    fn notes_are_told_by_their_first_words() {
        assert_eq!(first_words("### Added\n\n- Doors.\n- Windows."), "Doors.");
        assert_eq!(first_words(""), "");
    }
}
