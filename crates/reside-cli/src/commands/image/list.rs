//! `reside image list`

use clap::Args;
use reside_image::Listed;
use serde::Serialize;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;
use crate::ui::{Drawing, Table, View, short_digest, size_text};

/// List the images in the local store
#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Serialize)]
#[serde(transparent)]
struct Images(Vec<Listed>);

impl View for Images {
    fn draw(&self) -> Drawing {
        let empty = "There are no images; `reside build FOLDER` makes one";
        let mut table = Table::new(["IDENTITY", "TAG", "DIGEST", "TYPE", "SIZE"], empty);
        for image in &self.0 {
            let kind = super::kind_text(image.kind);
            let tag = image.tag.as_ref().map(ToString::to_string).unwrap_or_default();
            let size = image.size.map(size_text).unwrap_or_default();
            table.row([
                image.identity.to_string(),
                tag,
                short_digest(&image.digest.to_string()),
                kind.to_owned(),
                size,
            ]);
        }
        Drawing::Table(table)
    }
}

/// Runs the command.
pub fn run(app: &App, ListArgs {}: ListArgs) -> Result<(), CommandError> {
    let found = images::open_store(app)?.list();
    let found = found.map_err(|why| CommandError::failed("cannot list the images").because(why))?;
    app.ui.show(&Images(found))
}
