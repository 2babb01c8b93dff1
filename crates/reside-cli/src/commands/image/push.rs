//! `reside image push`

use clap::Args;
use reside_image::{Reference, Tag};

use super::moved::Moved;
use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Push an image of the local store to its registry
///
/// The name of an image says where that is, unless `reside registry mirror` says otherwise. What the registry has
/// already isn't sent again.
#[derive(Args, Debug)]
pub struct PushArgs {
    /// Image: IDENTITY, IDENTITY:TAG or IDENTITY@DIGEST
    image: Reference,

    /// Tag that it gets in the registry instead of its own (can be repeated)
    #[arg(long, value_name = "TAG")]
    tag: Vec<Tag>,
}

/// Runs the command.
pub fn run(app: &App, args: PushArgs) -> Result<(), CommandError> {
    let store = images::open_store(app)?;
    let what = format!("cannot push the image {}", args.image);
    let image = store
        .resolve(&args.image)
        .map_err(|error| images::explain(what.clone(), error))?;
    let own = match (&args.image.tag, &args.image.digest) {
        (Some(tag), _) => vec![tag.clone()],
        (None, None) => vec![Tag::latest()],
        (None, Some(_)) => Vec::new(),
    };
    let tags = if args.tag.is_empty() { own } else { args.tag };
    app.block_on(images::push(app, &store, &image, &tags))?;
    let size = store
        .image(&image.digest)
        .map_err(|error| images::explain(what, error))?
        .size();
    app.ui.show(&Moved {
        identity: image.identity,
        tags,
        digest: image.digest,
        size,
    })
}
