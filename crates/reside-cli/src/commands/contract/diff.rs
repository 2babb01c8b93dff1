//! `reside contract diff`

use clap::Args;
use reside::Manifest;
use reside::compatibility::{self, Change};
use reside::manifest::ContractManifest;
use reside_image::{Reference, Store};
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::images::open_store;
use crate::ui::{Drawing, Table, View};

/// Compare two versions of a contract, as images in the local store
///
/// Tells what the second one has that the first one hasn't, and the other way round. A change breaks consumers if what
/// was right by the first version can be wrong by the second. Texts for people are not compared.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Image of the older version: IDENTITY, IDENTITY:TAG or IDENTITY@DIGEST
    older: Reference,

    /// Image of the newer version
    newer: Reference,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    older: String,
    newer: String,
    breaks: bool,
    changes: Vec<Change>,
}

impl View for Difference {
    fn draw(&self) -> Drawing {
        let mut table = Table::new(["CONSUMERS", "PART", "PLACE", "CHANGE"], "No differences");
        for change in &self.changes {
            let effect = if change.breaks { "break" } else { "go on" };
            let (of, at, what) = (change.of.clone(), change.at.clone(), change.what.clone());
            table.row([effect.to_owned(), of, at, what]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, args: DiffArgs) -> Result<(), CommandError> {
    let store = open_store(app)?;
    let (older, old) = read(&store, &args.older)?;
    let (newer, new) = read(&store, &args.newer)?;
    let changes = compatibility::compare(&old, &new);
    let breaks = changes.iter().any(|change| change.breaks);
    app.ui.show(&Difference {
        older,
        newer,
        breaks,
        changes,
    })
}

fn read(store: &Store, image: &Reference) -> Result<(String, ContractManifest), CommandError> {
    let failed = |why: &dyn std::fmt::Display| {
        CommandError::failed(format!("cannot read the contract {image}"))
            .because(why.to_string())
            .help(
                "`reside image list` shows the images in the store, `reside image pull` brings more of them",
            )
    };
    let found = store.inspect(image).map_err(|why| failed(&why))?;
    let name = format!("{}@{}", found.identity, found.digest);
    let no_manifest = || {
        found
            .problem
            .clone()
            .unwrap_or_else(|| "it has no manifest".to_owned())
    };
    let json = found
        .manifest
        .ok_or_else(no_manifest)
        .map_err(|why| failed(&why))?;
    match Manifest::parse(json.to_string().as_bytes()) {
        Ok(Manifest::Contract(manifest)) => Ok((name, manifest)),
        Ok(Manifest::Replica(_)) => Err(failed(&"it is a replica")),
        Err(why) => Err(failed(&why)),
    }
}
