//! `reside image pull`

use clap::Args;
use reside_image::{Reference, Tag};

use super::moved::Moved;
use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Pull an image from its registry into the local store
///
/// From then on its tag stands for this image on this machine, also without the registry, until it is pulled again.
#[derive(Args, Debug)]
pub struct PullArgs {
    /// Image: IDENTITY, IDENTITY:TAG or IDENTITY@DIGEST
    image: Reference,
}

/// Runs the command.
pub fn run(app: &App, args: PullArgs) -> Result<(), CommandError> {
    let store = images::open_store(app)?;
    let image = app.block_on(images::pull(app, &store, &args.image))?;
    let found = store
        .image(&image.digest)
        .map_err(|error| images::explain(format!("cannot read the image {}", args.image), error))?;
    let tag = args
        .image
        .tag
        .or_else(|| args.image.digest.is_none().then(Tag::latest));
    app.ui.show(&Moved {
        identity: image.identity,
        tags: tag.into_iter().collect(),
        digest: image.digest,
        size: found.size(),
    })
}
