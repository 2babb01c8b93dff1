//! The images of the system's replicas and of the sync server: this program as one layer that all of them share, each
//! with an entry point and a manifest of its own.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use reside::{Contract as _, ReplicaDefinition};
use reside_image::pack::{self, Layer, PackError};
use reside_image::{
    Digest, Identity, ImageError, ResideManifest, ResolvedImage, Store, Tag, Writer, elf, oci,
};
use secret_v1::SecretsContract;
use serde::{Deserialize, Serialize};
use serde_json::json;
use user_manager_v1::UserManagerContract;

use crate::error::CommandError;
use crate::files;
use crate::paths::Paths;

/// Where this program lies in its images.
const PROGRAM: &str = "/reside";
/// Identity of the sync server's image. It has no manifest, because it is no replica.
const SYNC: &str = "ghcr.io/exeteres/reside/sync";

/// Which images this very program is in. Written once per program: reading and compressing it takes its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemImages {
    program: Fingerprint,
    /// By identity.
    images: BTreeMap<Identity, SystemImage>,
}

/// An image and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SystemImage {
    digest: Digest,
    /// Without the program.
    arguments: Vec<String>,
}

/// Tells one build of the program from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprint {
    path: PathBuf,
    bytes: u64,
    inode: u64,
    modified_ns: i128,
}

impl SystemImages {
    /// Reads which images this program is in; `None` if it is in none yet.
    pub fn read(paths: &Paths) -> Result<Option<Self>, CommandError> {
        let Some(text) = files::read(&paths.system_images())? else {
            return Ok(None);
        };
        let (_, program) = this_program()?;
        // A file that can't be read is written anew.
        let known = serde_json::from_str(&text).ok();
        Ok(known.filter(|known: &Self| known.program == program))
    }

    /// Finds the images of this program, or makes them.
    pub fn ensure(paths: &Paths, store: &Store) -> Result<Self, CommandError> {
        if let Some(known) = Self::read(paths)?.filter(|known| known.are_in(store)) {
            return Ok(known);
        }
        let (path, program) = this_program()?;
        let failed =
            |why: PackError| CommandError::failed("cannot make the images of the system").because(why);
        let images = write(&path, store).map_err(failed)?;
        let made = Self { program, images };
        let text = serde_json::to_string_pretty(&made)
            .map_err(|why| CommandError::failed("cannot write which images were made").because(why))?;
        files::replace(&paths.system_images(), &text)?;
        Ok(made)
    }

    fn are_in(&self, store: &Store) -> bool {
        self.images
            .values()
            .all(|image| store.image(&image.digest).is_ok())
    }

    /// Returns `identity@digest` of a system image.
    pub fn image(&self, identity: &str) -> Result<String, CommandError> {
        let found = self.images.iter().find(|(known, _)| known.as_str() == identity);
        let image = found.map(|(identity, image)| format!("{identity}@{}", image.digest));
        image.ok_or_else(|| CommandError::failed(format!("this program has no image {identity}")))
    }

    /// Returns all system images.
    pub fn all(&self) -> impl Iterator<Item = ResolvedImage> {
        self.images.iter().map(|(identity, image)| ResolvedImage {
            identity: identity.clone(),
            digest: image.digest,
        })
    }

    /// Tells whether this program has another image of the same system replica.
    pub fn replaces(&self, image: &ResolvedImage) -> bool {
        let known = self.images.get(&image.identity);
        known.is_some_and(|known| known.digest != image.digest)
    }

    /// Returns `identity@digest` of the sync server's image.
    pub fn sync_server(&self) -> Result<String, CommandError> {
        self.image(SYNC)
    }

    /// Returns how to run an image if it holds this very program, which then needs not be unpacked. Nobody loads the sync
    /// server, so it has no versions: it is always that of the program that has started the cluster.
    pub fn argv(&self, image: &ResolvedImage) -> Option<Vec<String>> {
        let known = self
            .images
            .get(&image.identity)
            .filter(|known| known.digest == image.digest || image.identity == SYNC)?;
        let program = self.program.path.to_str()?.to_owned();
        Some(
            std::iter::once(program)
                .chain(known.arguments.iter().cloned())
                .collect(),
        )
    }
}

fn write(program: &std::path::Path, store: &Store) -> Result<BTreeMap<Identity, SystemImage>, PackError> {
    let architecture = elf::inspect(program).map_err(|why| ImageError::Invalid {
        what: program.display().to_string(),
        reason: why.to_string(),
    })?;
    let writer = store.writer()?;
    let layer = pack::write_program_layer(&writer, program, PROGRAM)?;
    let mut images = BTreeMap::new();
    for definition in [
        alpha::definition(),
        local_sentinel::definition(),
        seed::definition(),
        user_manager::definition(),
        secret::definition(),
    ] {
        let (manifest, name) = manifest(&definition)?;
        let arguments = vec!["replica-main".to_owned(), name];
        let image_program = pack::Program {
            layer: layer.clone(),
            architecture,
            entrypoint: entrypoint(&arguments),
        };
        let image = pack::write_image(
            &writer,
            &manifest,
            &[Tag::latest()],
            Some(&image_program),
            labels(),
        )?;
        images.insert(
            manifest.identity().clone(),
            SystemImage {
                digest: image.digest,
                arguments,
            },
        );
    }
    // Those that every cluster has are registered by the bootstrap; the others are fetched as any contract.
    for manifest in [UserManagerContract::manifest(), SecretsContract::manifest()] {
        let manifest = parsed(&manifest)?;
        let image = pack::write_image(&writer, &manifest, &[Tag::latest()], None, labels())?;
        images.insert(
            manifest.identity().clone(),
            SystemImage {
                digest: image.digest,
                arguments: Vec::new(),
            },
        );
    }
    let arguments = vec!["sync".to_owned()];
    let (identity, digest) = write_sync_image(&writer, &layer, architecture, &entrypoint(&arguments))?;
    images.insert(identity, SystemImage { digest, arguments });
    Ok(images)
}

/// What every image of this program says beside its manifest.
fn labels() -> BTreeMap<String, String> {
    let label = |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
    BTreeMap::from([
        label("version", env!("CARGO_PKG_VERSION")),
        label("licenses", env!("CARGO_PKG_LICENSE")),
        label("source", env!("CARGO_PKG_REPOSITORY")),
    ])
}

fn entrypoint(arguments: &[String]) -> Vec<String> {
    std::iter::once(PROGRAM.to_owned())
        .chain(arguments.iter().cloned())
        .collect()
}

fn manifest(definition: &ReplicaDefinition) -> Result<(ResideManifest, String), PackError> {
    let manifest = definition.manifest().map_err(invalid)?;
    Ok((parsed(&manifest)?, manifest.info.name))
}

fn parsed(manifest: &impl Serialize) -> Result<ResideManifest, PackError> {
    let json = serde_json::to_value(manifest).map_err(invalid)?;
    Ok(ResideManifest::from_json(json)?)
}

fn invalid(why: impl std::fmt::Display) -> ImageError {
    ImageError::Invalid {
        what: "what belongs to the system".to_owned(),
        reason: why.to_string(),
    }
}

/// An image without a manifest: whatever loads replicas refuses it.
fn write_sync_image(
    writer: &Writer,
    layer: &Layer,
    architecture: elf::Architecture,
    entrypoint: &[String],
) -> Result<(Identity, Digest), PackError> {
    let config = json!({
        "architecture": architecture.as_oci(),
        "os": "linux",
        "config": { "Entrypoint": entrypoint, "Labels": labels() },
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
    });
    let config = writer.write_blob(oci::CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": oci::MANIFEST,
        "config": config,
        "layers": [layer.descriptor],
    });
    let identity = Identity::from_static(SYNC);
    let digest = writer.publish(&identity, &[Tag::latest()], manifest.to_string().as_bytes())?;
    Ok((identity, digest))
}

/// Where this program is, and which build of it.
fn this_program() -> Result<(PathBuf, Fingerprint), CommandError> {
    let failed = |why: std::io::Error| CommandError::failed("cannot find this program itself").because(why);
    let path = std::env::current_exe().map_err(failed)?;
    let metadata = path.metadata().map_err(failed)?;
    let fingerprint = fingerprint(&path, &metadata);
    Ok((path, fingerprint))
}

fn fingerprint(path: &std::path::Path, metadata: &Metadata) -> Fingerprint {
    Fingerprint {
        path: path.to_owned(),
        bytes: metadata.len(),
        inode: metadata.ino(),
        modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
    }
}
