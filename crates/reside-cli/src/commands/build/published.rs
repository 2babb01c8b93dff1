//! What a build is checked against: a contract against its last image, so that its consumers go on working; a replica
//! against the contracts that it names.

use reside::compatibility::{Change, compare};
use reside::{ContractManifest, Manifest, ReplicaManifest};
use reside_image::build::Built;
use reside_image::{ImageError, ImageSource, Reference, Registry, RegistryError, Store, Tag};

use super::BuildArgs;
use crate::cli::App;
use crate::error::CommandError;
use crate::images;

/// Checks a manifest before it is packed.
pub fn check(app: &App, built: &Built, args: &BuildArgs, store: &Store) -> Result<(), CommandError> {
    let identity = built.manifest.identity();
    let text = built.manifest.json().to_string();
    let manifest = Manifest::parse(text.as_bytes()).map_err(|why| {
        CommandError::failed(format!("the manifest of {identity} is not valid")).because(why)
    })?;
    match manifest {
        Manifest::Replica(replica) => check_replica(app, &replica, store),
        Manifest::Contract(contract) => {
            for (place, last) in last(app, &contract, args, store)? {
                check_contract(app, &last, &contract, &place, args)?;
            }
            Ok(())
        }
    }
}

/// The last images of a contract, under the tags that it gets: of the store, and of the registry if it goes there.
fn last(
    app: &App,
    contract: &ContractManifest,
    args: &BuildArgs,
    store: &Store,
) -> Result<Vec<(String, ContractManifest)>, CommandError> {
    let mut found = Vec::new();
    let mut tags = args.tag.clone();
    if !tags.contains(&Tag::latest()) {
        tags.push(Tag::latest());
    }
    let registry = match args.push {
        true => Some(images::registry(store)?),
        false => None,
    };
    for tag in tags {
        let reference = Reference::tagged(contract.identity.clone(), tag);
        if let Some(last) = app.block_on(read(store, &reference))? {
            found.push((format!("{reference} in the local store"), last));
        }
        if let Some(registry) = &registry
            && let Some(last) = app.block_on(read_published(registry, &reference))?
        {
            found.push((format!("{reference} in its registry"), last));
        }
    }
    Ok(found)
}

async fn read(
    source: &dyn ImageSource,
    reference: &Reference,
) -> Result<Option<ContractManifest>, CommandError> {
    let image = match source.resolve(reference).await {
        Ok(image) => image,
        Err(ImageError::Unknown { .. }) => return Ok(None),
        Err(error) => return Err(images::explain(format!("cannot read {reference}"), error)),
    };
    let image = source.image(&image).await;
    // What can't be read promises nothing to anybody.
    Ok(image.ok().and_then(|image| contract_of(&image, reference)))
}

async fn read_published(
    registry: &Registry,
    reference: &Reference,
) -> Result<Option<ContractManifest>, CommandError> {
    let failed = |error| images::explain(format!("cannot read {reference} in its registry"), error);
    let image = match registry.resolve(reference).await {
        Ok(image) => image,
        Err(ImageError::Registry(RegistryError::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let image = registry.image(&image).await.map_err(failed)?;
    Ok(contract_of(&image, reference))
}

fn contract_of(image: &reside_image::Image, reference: &Reference) -> Option<ContractManifest> {
    let manifest = image.reside_manifest(&reference.identity).ok()?;
    ContractManifest::from_value(manifest.into_json()).ok()
}

fn check_contract(
    app: &App,
    old: &ContractManifest,
    new: &ContractManifest,
    place: &str,
    args: &BuildArgs,
) -> Result<(), CommandError> {
    let changes = compare(old, new);
    let breaking: Vec<&Change> = changes.iter().filter(|change| change.breaks).collect();
    if breaking.is_empty() {
        return Ok(());
    }
    let list: String = breaking.iter().map(|change| format!("\n- {change}")).collect();
    if args.allow_breaking {
        app.ui
            .warn(format_args!("this breaks those who use {place}:{list}"));
        return Ok(());
    }
    Err(
        CommandError::failed(format!("{} would break those who use it", new.identity))
            .because(format!("compared with {place}:{list}"))
            .help("give the contract a new major version (as `.v2` in its identity), or build it with `--allow-breaking`"),
    )
}

/// Checks what a replica asks for against the contracts that are in the store.
fn check_replica(app: &App, replica: &ReplicaManifest, store: &Store) -> Result<(), CommandError> {
    let mut known = Vec::new();
    for requirement in replica.requirements.values() {
        let reference = Reference::from(requirement.identity.clone());
        known.extend(app.block_on(read(store, &reference))?);
    }
    let mut checked = replica.clone();
    checked.requirements.retain(|_, requirement| {
        known
            .iter()
            .any(|contract| contract.identity == requirement.identity)
    });
    checked.check_against(&known).map_err(|errors| {
        let list: String = errors.iter().map(|error| format!("\n- {error}")).collect();
        CommandError::failed(format!(
            "{} does not fit the contracts in the local store",
            replica.identity
        ))
        .because(format!(
            "{} of what it asks for can't be granted:{list}",
            errors.len()
        ))
        .help("build the contracts anew with `reside build`, or correct the requirements")
    })
}
