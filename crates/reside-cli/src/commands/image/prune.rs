//! `reside image prune`

use std::fs;
use std::io::ErrorKind;

use clap::Args;
use reside_image::{Pruned, Store};
use serde::Serialize;

use crate::cli::App;
use crate::cluster::local::Settings;
use crate::error::CommandError;
use crate::ui::{Drawing, Fields, Table, View, short_digest, size_text};

/// Remove images that nobody needs from the local store
///
/// An image stays as long as it has a tag, and as long as a version of a replica in any cluster of this machine needs it,
/// so that every version can become current again. Images that wait in load requests stay too.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    dry_run: bool,
    #[serde(flatten)]
    pruned: Pruned,
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let mut fields = Fields::default();
        let verb = if self.dry_run { "Would free" } else { "Freed" };
        fields.field(verb, size_text(self.pruned.bytes));
        fields.field("Images", self.pruned.images.len().to_string());
        fields.field("Blobs", self.pruned.blobs.to_string());
        fields.field("Unpacked images", self.pruned.unpacked.to_string());
        if !self.pruned.images.is_empty() {
            let mut table = Table::new(["IDENTITY", "DIGEST"], "");
            for image in &self.pruned.images {
                table.row([
                    image.identity.to_string(),
                    short_digest(&image.digest.to_string()),
                ]);
            }
            let title = if self.dry_run {
                "Images that would go"
            } else {
                "Images that went"
            };
            fields.table(title, table);
        }
        Drawing::Fields(fields)
    }
}

/// Runs the command.
pub fn run(app: &App, args: PruneArgs) -> Result<(), CommandError> {
    let store = crate::images::open_store(app)?;
    check_clusters(app, &store)?;
    let progress = app.ui.progress("Waiting until nobody writes into the store");
    let pruned = store.prune(&app.paths.unpacked(), args.dry_run);
    drop(progress);
    let pruned =
        pruned.map_err(|why| CommandError::failed("cannot clean up the image store").because(why))?;
    let dry_run = args.dry_run;
    app.ui.show(&Shown { dry_run, pruned })
}

/// Every cluster must have said what it needs: Alpha does when it starts.
fn check_clusters(app: &App, store: &Store) -> Result<(), CommandError> {
    let folder = app.paths.clusters();
    let failed = |why: &dyn std::fmt::Display| {
        CommandError::failed(format!("cannot read `{}`", folder.display())).because(why.to_string())
    };
    let clusters = match fs::read_dir(&folder) {
        Ok(clusters) => clusters,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    for cluster in clusters {
        let name = cluster
            .map_err(|why| failed(&why))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        // A cluster that isn't made yet has no versions.
        let made = Settings::read(&app.paths.cluster(&name))?.and_then(|settings| settings.made);
        let Some(made) = made else { continue };
        if !store.is_owner(made.alpha.as_str()).map_err(|why| failed(&why))? {
            return Err(CommandError::failed("cannot tell which images are needed")
                .because(format!("the cluster `{name}` has not said which images its versions need"))
                .help(format!(
                    "start it with `reside up {name} --detach`; if it runs, its Alpha is older than this program: \
                     `reside replica load {} --cluster {name}`",
                    alpha::IDENTITY
                )));
        }
    }
    Ok(())
}
