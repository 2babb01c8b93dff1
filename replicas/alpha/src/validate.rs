//! Validation of a load request: what the image is, which instance it would become, who could serve it, and whether
//! what it asks for exists. Everything that is wrong is said in words for whoever asked.

use std::collections::BTreeMap;

use alpha_v1::{
    ContractRecord, LoadRequest, LoadRequestStatus, ReplicaId, RequirementChoice, ValidatedRequest,
};
use reside::Manifest;
use reside::manifest::RequirementManifest;
use reside::permission::instance_id;
use reside::prelude::*;
use reside_image::build::RELEASE_NOTES_LABEL;
use reside_image::{ImageSource, Reference, ResolvedImage};

use crate::plan::{free_name, info_difference};
use crate::state::{LoadedReplica, State};

/// How much of what an author says about a version is kept.
const RELEASE_NOTES_CHARS_MAX: usize = 8 * 1024;

/// Why a request can't go on.
#[derive(Debug)]
pub enum Problem {
    /// The request is invalid, for this reason.
    Invalid(String),
    /// Alpha itself failed; the request stays as it is.
    Failed(BoxError),
}

impl<E: Into<BoxError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Problem {
    /// Returns the problem as an error.
    pub fn into_error(self) -> BoxError {
        match self {
            Self::Invalid(reason) => reason.into(),
            Self::Failed(error) => error,
        }
    }
}

/// What a request turned out to be.
#[derive(Debug)]
pub struct Valid {
    /// The existing instance it updates.
    pub replica_id: Option<ReplicaId>,
    /// The name it will have.
    pub name: String,
    /// What the approver is shown.
    pub validated: ValidatedRequest,
}

fn invalid(reason: impl std::fmt::Display) -> Problem {
    Problem::Invalid(reason.to_string())
}

/// What a request needs of the image source: the replica, and the contracts that it names.
#[derive(Debug)]
pub struct Fetched {
    resolved: ResolvedImage,
    manifest: ReplicaManifest,
    release_notes: Option<String>,
    /// In the order in which they are named. One that can't be fetched may be known to the cluster.
    contracts: Vec<(Identity, Result<FetchedContract, String>)>,
}

impl Fetched {
    /// The image that was asked for.
    pub fn image(&self) -> &ResolvedImage {
        &self.resolved
    }
}

#[derive(Debug)]
struct FetchedContract {
    digest: String,
    manifest: ContractManifest,
}

/// Fetches what is asked for. Touches nothing of the cluster, and may take as long as a registry does; an error is a text
/// for people.
pub async fn fetch(images: &dyn ImageSource, image: &str) -> Result<Fetched, String> {
    let (resolved, manifest, release_notes) = fetch_replica(images, image).await?;
    let implemented = manifest.implementations.values().map(|one| &one.identity);
    let required = manifest.requirements.values().map(|one| &one.identity);
    let mut identities: Vec<&Identity> = Vec::new();
    for identity in implemented.chain(required) {
        if !identities.contains(&identity) {
            identities.push(identity);
        }
    }
    let fetching = identities
        .iter()
        .map(|identity| async move { ((*identity).clone(), fetch_contract(images, identity).await) });
    let contracts = futures::future::join_all(fetching).await;
    Ok(Fetched {
        resolved,
        manifest,
        release_notes,
        contracts,
    })
}

/// Decides what a request comes down to in the cluster as it is now.
pub async fn validate(state: &State, request: &LoadRequest, fetched: Fetched) -> Result<Valid, Problem> {
    let Fetched {
        resolved,
        mut manifest,
        release_notes,
        contracts: fetched,
    } = fetched;
    let replicas = state.loaded_replicas().await?;
    let instance = find_instance(request, &manifest, &replicas)?;
    let name = match instance {
        Some(replica) => replica.record.name.clone(),
        None => choose_name(state, request, &manifest, &replicas).await?,
    };
    if let Some(replica) = instance
        && let Some(difference) = info_difference(&replica.record.info, &manifest.info)
    {
        return Err(invalid(format!(
            "`info` can't change once a replica is in the cluster: {difference}"
        )));
    }
    manifest.fill_replica_name(&name);
    let mut contracts = Vec::new();
    for (identity, fetched) in fetched {
        contracts.push(register(state, &identity, fetched).await?);
    }
    fill_instance_ids(&mut manifest.requirements, &contracts);
    manifest.check_against(&contracts).map_err(|errors| {
        invalid(
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        )
    })?;
    let requirements = manifest
        .requirements
        .iter()
        .map(|(key, required)| find_candidates(key, required, &replicas))
        .collect::<Result<_, _>>()?;
    let digest = resolved.digest.to_string();
    let replica_id = instance.map(|replica| replica.record.id);
    Ok(Valid {
        replica_id,
        name,
        validated: ValidatedRequest {
            digest,
            manifest,
            requirements,
            release_notes,
        },
    })
}

async fn fetch_replica(
    images: &dyn ImageSource,
    image: &str,
) -> Result<(ResolvedImage, ReplicaManifest, Option<String>), String> {
    let reference: Reference = image.parse().map_err(|error| format!("{image}: {error}"))?;
    let (resolved, found, labels) = fetch_manifest(images, &reference).await?;
    let Manifest::Replica(manifest) = found else {
        return Err(format!("{image} is a contract; only replicas can be loaded"));
    };
    let notes = labels
        .get(RELEASE_NOTES_LABEL)
        .filter(|notes| !notes.trim().is_empty());
    let notes = notes.map(|notes| notes.chars().take(RELEASE_NOTES_CHARS_MAX).collect());
    Ok((resolved, manifest, notes))
}

async fn fetch_contract(images: &dyn ImageSource, identity: &Identity) -> Result<FetchedContract, String> {
    let reference = Reference::from(identity.clone());
    match fetch_manifest(images, &reference).await? {
        (resolved, Manifest::Contract(manifest), _) => Ok(FetchedContract {
            digest: resolved.digest.to_string(),
            manifest,
        }),
        (_, Manifest::Replica(_), _) => Err(format!("{identity} is a replica, not a contract")),
    }
}

/// Fetches an image and reads the manifest in its label; returns all labels too.
async fn fetch_manifest(
    images: &dyn ImageSource,
    reference: &Reference,
) -> Result<(ResolvedImage, Manifest, BTreeMap<String, String>), String> {
    let resolved = images
        .resolve(reference)
        .await
        .map_err(|error| error.to_string())?;
    let image = images.image(&resolved).await.map_err(|error| error.to_string())?;
    let label = image
        .reside_manifest(&resolved.identity)
        .map_err(|error| format!("{reference}: {error}"))?;
    let json = label.json().to_string();
    let manifest = Manifest::parse(json.as_bytes()).map_err(|error| {
        let mut text = format!("{reference}: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    })?;
    Ok((resolved, manifest, image.config.config.labels))
}

/// The instance that the request updates: always the existing one of an exclusive replica, or the one named by id.
fn find_instance<'a>(
    request: &LoadRequest,
    manifest: &ReplicaManifest,
    replicas: &'a BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<Option<&'a LoadedReplica>, Problem> {
    let identity = &manifest.identity;
    if let Some(id) = request.replica_id {
        let replica = replicas
            .get(&id)
            .ok_or_else(|| invalid(format!("there is no replica {id}")))?;
        if replica.record.identity != *identity {
            let found = &replica.record.identity;
            return Err(invalid(format!(
                "replica {id} was loaded from {found}, not from {identity}"
            )));
        }
        return Ok(Some(replica));
    }
    // Which instance is meant follows from what runs, not from what the new image says of itself: a change of
    // `exclusive` must be found out.
    let same = || {
        replicas
            .values()
            .filter(|replica| replica.record.identity == *identity)
    };
    Ok(same().find(|replica| replica.record.info.exclusive || manifest.info.exclusive))
}

async fn choose_name(
    state: &State,
    request: &LoadRequest,
    manifest: &ReplicaManifest,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<String, Problem> {
    // Of several requests for an exclusive replica, the first that is approved makes it and the others update it.
    let is_same = |other: &LoadRequest| {
        let other = other.validated.as_ref().map(|validated| &validated.manifest);
        other.is_some_and(|other| other.identity == manifest.identity && other.info.exclusive)
    };
    let pending = state.all_load_requests().await?;
    let pending = pending.iter().map(|(_, other)| other).filter(|other| {
        other.id != request.id
            && other.replica_id.is_none()
            && other.status == LoadRequestStatus::RequiresApproval
            && !is_same(other)
    });
    let names: Vec<&str> = replicas
        .values()
        .map(|replica| replica.record.name.as_str())
        .chain(pending.filter_map(|other| other.replica_name.as_deref()))
        .collect();
    match request.replica_name.as_deref() {
        None => Ok(free_name(&manifest.info.name, |name| names.contains(&name))),
        Some(name) if !reside::manifest::is_replica_name(name) => Err(invalid(format!(
            "{name:?} is no replica name: a letter, then letters, digits and dashes, at most 40"
        ))),
        Some(name) if names.contains(&name) => {
            Err(invalid(format!("the name {name:?} is taken; choose another one")))
        }
        Some(name) => Ok(name.to_owned()),
    }
}

/// Makes a contract known to the cluster, with the manifest of its newest image if there is one.
async fn register(
    state: &State,
    identity: &Identity,
    fetched: Result<FetchedContract, String>,
) -> Result<ContractManifest, Problem> {
    let known = state.contract(identity).await?;
    match (fetched, known) {
        (Ok(FetchedContract { digest, manifest }), known) => {
            record(state, known, identity, Some(digest), manifest).await
        }
        (Err(_), Some(known)) => Ok(known.get()?.manifest),
        (Err(error), None) => Err(invalid(format!(
            "the contract {identity} can't be fetched: {error}"
        ))),
    }
}

/// Writes the record of a contract; the same again changes nothing.
pub async fn record(
    state: &State,
    known: Option<Co<ContractRecord>>,
    identity: &Identity,
    digest: Option<String>,
    manifest: ContractManifest,
) -> Result<ContractManifest, Problem> {
    match known {
        Some(known) => {
            let present = known.get()?;
            if present.digest != digest || present.manifest != manifest {
                known.update(|record| {
                    record.digest = digest;
                    record.manifest = manifest.clone();
                })?;
            }
            list(state, &known)?;
        }
        None => {
            let id = State::next_number(&state.contracts.keys()?, 1);
            let new = ContractRecord {
                id,
                identity: identity.clone(),
                digest,
                manifest: manifest.clone(),
            };
            let unique = format!("contract/{identity}");
            let made = state
                .node
                .get_or_create_unique(&state.contracts.owner(), unique, new)
                .await?;
            list(state, &made)?;
        }
    }
    Ok(manifest)
}

/// Lists a contract under its number. One that was made just before a crash isn't listed, and its number may be taken
/// by now.
fn list(state: &State, contract: &Co<ContractRecord>) -> Result<(), Problem> {
    let (id, reference) = (contract.get()?.id, contract.reference());
    match state.contracts.get(id.to_string())? {
        Some(listed) if listed == reference => {}
        None => state.contracts.insert(id.to_string(), &reference)?,
        Some(_) => {
            let id = State::next_number(&state.contracts.keys()?, 1);
            contract.update(|contract| contract.id = id)?;
            state.contracts.insert(id.to_string(), &reference)?;
        }
    }
    Ok(())
}

/// Instance ids follow from the params; what the image says of them is not relied on.
fn fill_instance_ids<'a>(
    requirements: impl IntoIterator<Item = (&'a String, &'a mut RequirementManifest)>,
    contracts: &[ContractManifest],
) {
    for (_, requirement) in requirements {
        let Some(contract) = contracts
            .iter()
            .find(|contract| contract.identity == requirement.identity)
        else {
            continue;
        };
        for permission in &mut requirement.permissions {
            if let Some(defined) = contract.permissions.get(&permission.name) {
                permission.instance_id = instance_id(&defined.instance_keys, &permission.params);
            }
        }
    }
}

fn find_candidates(
    key: &str,
    required: &RequirementManifest,
    replicas: &BTreeMap<ReplicaId, LoadedReplica>,
) -> Result<RequirementChoice, Problem> {
    let contract = &required.identity;
    let implements = |replica: &&LoadedReplica| replica.record.implementations.contains(contract);
    let candidates: Vec<ReplicaId> = replicas
        .values()
        .filter(implements)
        .map(|replica| replica.record.id)
        .collect();
    if candidates.is_empty() && !required.optional {
        return Err(invalid(format!(
            "requirement {key:?}: no replica implements {contract}; load one that does first"
        )));
    }
    Ok(RequirementChoice {
        key: key.to_owned(),
        contract: contract.clone(),
        optional: required.optional,
        multiple: required.multiple,
        candidates,
    })
}
