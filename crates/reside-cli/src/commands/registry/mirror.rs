//! `reside registry mirror`

use clap::Args;
use reside_image::reference::IdentityPrefix;

use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Keep images whose names begin so in another place
///
/// They are pulled from there and pushed there; their identities stay as they are, and so do all manifests. Of several
/// prefixes that fit, the longest counts.
#[derive(Args, Debug)]
pub struct MirrorArgs {
    /// What the names of the images begin with, as `ghcr.io/exeteres/reside`
    prefix: IdentityPrefix,

    /// What stands there instead in the other place, as `registry.example.org/reside`
    #[arg(required_unless_present = "remove")]
    place: Option<IdentityPrefix>,

    /// Images whose names begin so are where their names say again
    #[arg(long, conflicts_with = "place")]
    remove: bool,
}

/// Runs the command.
pub fn run(app: &App, args: MirrorArgs) -> Result<(), CommandError> {
    images::edit_settings(app, |settings| {
        let changed = match args.place {
            Some(place) => settings
                .mirrors
                .insert(args.prefix.clone(), place)
                .or(Some(args.prefix.clone())),
            None => settings.mirrors.remove(&args.prefix),
        };
        changed.map(drop).ok_or_else(|| {
            CommandError::failed(format!("there is no mirror for {}", args.prefix))
                .help("`reside registry list` shows the mirrors")
        })
    })?;
    super::list::show(app)
}
