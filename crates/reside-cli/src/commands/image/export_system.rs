//! `reside image export-system`

use clap::Args;
use reside_image::Tag;

use super::moved::{AllMoved, Moved};
use crate::cli::App;
use crate::cluster::local::SystemImages;
use crate::error::CommandError;
use crate::images;

/// Write the images of the system, which this program itself is in
///
/// One image for each replica of the system and one for the sync server. They share one layer, the program `reside`.
#[derive(Args, Debug)]
pub struct ExportSystemArgs {
    /// Tag of the images (can be repeated)
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: Vec<Tag>,

    /// Push the images to their registry
    #[arg(long)]
    push: bool,
}

/// Runs the command.
pub fn run(app: &App, args: ExportSystemArgs) -> Result<(), CommandError> {
    let store = images::open_store(app)?;
    let progress = app.ui.progress("Writing the images of the system");
    let system = SystemImages::ensure(&app.paths, &store)?;
    drop(progress);
    let failed = |error| images::explain("cannot write the images of the system", error);
    let mut moved = Vec::new();
    for image in system.all() {
        let text = store.manifest_text(&image.digest).map_err(failed)?;
        let writer = store.writer().map_err(failed)?;
        writer
            .publish(&image.identity, &args.tag, &text)
            .map_err(failed)?;
        drop(writer);
        if args.push {
            app.block_on(images::push(app, &store, &image, &args.tag))?;
        }
        let size = store.image(&image.digest).map_err(failed)?.size();
        moved.push(Moved {
            identity: image.identity,
            tags: args.tag.clone(),
            digest: image.digest,
            size,
        });
    }
    app.ui.show(&AllMoved(moved))
}
