//! What commands share about images: the local store, registries, and what their errors come down to.

use std::collections::BTreeMap;

use reside_image::registry::{Progress as Transfers, Step};
use reside_image::{
    ImageError, Reference, Registry, RegistryError, RegistrySettings, ResolvedImage, Store, Tag,
};

use crate::cli::App;
use crate::error::CommandError;
use crate::files::{self, Lock};
use crate::ui::{Progress, short_digest, size_text};

/// Opens the local store.
pub fn open_store(app: &App) -> Result<Store, CommandError> {
    let path = app.paths.images();
    files::create_folder(&path)?;
    Store::open(&path).map_err(|why| {
        CommandError::failed(format!("cannot use the image store `{}`", path.display())).because(why)
    })
}

/// Registries by the settings of this machine.
pub fn registry(store: &Store) -> Result<Registry, CommandError> {
    Registry::of(store).map_err(|why| CommandError::failed("cannot use registries").because(why))
}

/// Reads the settings of registries.
pub fn settings(app: &App) -> Result<RegistrySettings, CommandError> {
    RegistrySettings::read(&app.paths.registries())
        .map_err(|why| CommandError::failed("cannot use the settings of registries").because(why))
}

/// Changes the settings of registries while no other process does.
pub fn edit_settings<T>(
    app: &App,
    change: impl FnOnce(&mut RegistrySettings) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let path = app.paths.registries();
    let _lock = Lock::acquire(&path.with_extension("json.lock"))?;
    let before = settings(app)?;
    let mut after = before.clone();
    let value = change(&mut after)?;
    if after != before {
        let text = serde_json::to_string_pretty(&after)
            .map_err(|why| CommandError::failed("cannot write the settings of registries").because(why))?;
        files::replace(&path, &text)?;
    }
    Ok(value)
}

/// Pushes an image under these tags.
pub async fn push(app: &App, store: &Store, image: &ResolvedImage, tags: &[Tag]) -> Result<(), CommandError> {
    let registry = registry(store)?;
    let progress = app.ui.progress(format!("Pushing {}", image.identity));
    let transfers = |step| tell(&progress, "Pushing", step);
    let pushed = registry.push(image, tags, store, &transfers).await;
    pushed.map_err(|error| explain(format!("cannot push the image {}", image.identity), error))
}

/// Pulls an image into the store.
pub async fn pull(app: &App, store: &Store, reference: &Reference) -> Result<ResolvedImage, CommandError> {
    let registry = registry(store)?;
    let progress = app.ui.progress(format!("Pulling {reference}"));
    let transfers = |step| tell(&progress, "Pulling", step);
    let transfers: Transfers<'_> = &transfers;
    let pulled = registry.pull(reference, store, transfers).await;
    pulled.map_err(|error| explain(format!("cannot pull the image {reference}"), error))
}

fn tell(progress: &Progress, doing: &str, step: Step) {
    match step {
        Step::Transfer { digest, size } => {
            progress.now(format!(
                "{doing} {} ({})",
                short_digest(&digest.to_string()),
                size_text(size)
            ));
        }
        Step::Present { digest } => {
            progress.now(format!("{} is there already", short_digest(&digest.to_string())));
        }
        Step::Mounted { digest } => {
            progress.now(format!(
                "{} is in the registry already",
                short_digest(&digest.to_string())
            ));
        }
    }
}

/// Adds what to do to what a registry or the store says.
pub fn explain(what: impl Into<String>, error: ImageError) -> CommandError {
    let help = help(&error);
    let failed = CommandError::failed(what).because(error);
    match help {
        Some(help) => failed.help(help),
        None => failed,
    }
}

fn help(error: &ImageError) -> Option<String> {
    Some(match error {
        ImageError::Registry(RegistryError::Unauthorized { registry, .. }) => {
            format!("`reside registry login {registry}`; a registry may also say so of what it doesn't have")
        }
        ImageError::Registry(RegistryError::Denied { .. }) => {
            "look whether the name is right and whether your login may do that; `reside registry list` shows logins"
                .to_owned()
        }
        ImageError::Registry(RegistryError::Unreachable { .. } | RegistryError::Stalled { .. }) => {
            "try again; what the local store has works without a registry".to_owned()
        }
        ImageError::Registry(RegistryError::Redirect { reason, .. }) if reason.contains("plain") => {
            "`reside registry plain-http HOST` allows it, if you trust the network on the way".to_owned()
        }
        ImageError::Unsupported { media_type, .. }
            if media_type.contains("index") || media_type.contains("manifest.list") =>
        {
            "it is a list of images for several processors; name one of them by its digest".to_owned()
        }
        ImageError::Nowhere { remote, .. } => return help(remote),
        ImageError::Unknown { .. } => "`reside image list` shows the images in the store".to_owned(),
        _ => return None,
    })
}

/// Logins by registry, without their secrets.
pub fn logins(settings: &RegistrySettings) -> BTreeMap<String, String> {
    let user = |login: &reside_image::registry::Login| login.user().unwrap_or_default();
    settings
        .logins
        .iter()
        .map(|(registry, login)| (registry.clone(), user(login)))
        .collect()
}
