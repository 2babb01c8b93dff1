//! What an approval will do, decided once and stored before anything is done. Carrying a plan out invents nothing, so
//! doing it again after a crash ends in the same state. Pure.

use std::collections::BTreeMap;

use alpha_v1::{ApproveLoadRequest, LoadRequest, ReplicaId, RequirementChoice, ValidatedRequest};
use reside::manifest::REPLICA_NAME_BYTES_MAX;
use reside::prelude::*;

/// An approved load request, ready to be carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The request.
    pub load_request_id: u32,
    /// The replica, new or existing.
    pub replica_id: ReplicaId,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version_id: u32,
    /// `identity@digest`.
    pub image: String,
    /// The manifest, names filled in.
    pub manifest: ReplicaManifest,
    /// Who serves each requirement.
    pub requirements: BTreeMap<String, Vec<ReplicaId>>,
    /// What its author says about this version.
    #[serde(default)]
    pub release_notes: Option<String>,
    /// On behalf of whom the replica was asked for.
    pub owner_id: Option<String>,
    /// Who approved it.
    pub approved_by: AccountId,
    /// When.
    pub approved_at: Timestamp,
    /// When the permissions end that were approved with it.
    #[serde(default)]
    pub permissions_expire_at: Option<Timestamp>,
    /// What will own the values of a new replica; absent for an update. The ids of those values follow from it.
    pub owners: Option<Owners>,
}

/// Groups of one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owners {
    /// Owns the control block.
    pub control_block: Ref<Group>,
    /// Owns the management block.
    pub management: Ref<Group>,
}

/// What planning needs to know of the replicas that are there.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Its number.
    pub id: ReplicaId,
    /// Its name.
    pub name: String,
    /// The image name it was loaded from.
    pub identity: Identity,
    /// What can't change.
    pub info: Info,
    /// Contracts that its current version implements.
    pub implementations: Vec<Identity>,
    /// The highest version so far.
    pub last_version: u32,
}

/// Why a request can't be approved as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A key that no requirement has.
    #[error("the replica has no requirement {0:?}")]
    UnknownRequirement(String),
    /// A replica that doesn't implement the contract.
    #[error("replica {replica} does not implement {contract}, which requirement {key:?} asks for")]
    NotACandidate {
        /// The requirement.
        key: String,
        /// Its contract.
        contract: Identity,
        /// The replica that was chosen.
        replica: ReplicaId,
    },
    /// Nobody chosen for a requirement that needs somebody.
    #[error("requirement {0:?} needs a replica")]
    NothingChosen(String),
    /// Several chosen for a requirement that takes one.
    #[error("requirement {0:?} takes one replica, not several")]
    TooManyChosen(String),
    /// The name was taken meanwhile.
    #[error("the name {0:?} is taken meanwhile; reject the request and ask again with another name")]
    NameTaken(String),
    /// The instance has gone meanwhile.
    #[error("replica {0} was unloaded meanwhile")]
    ReplicaGone(ReplicaId),
    /// An exclusive replica was loaded meanwhile, under a name that this request was not checked for.
    #[error("it was loaded as {0:?} meanwhile, and there can be only one; reject the request and ask again")]
    LoadedMeanwhile(String),
    /// `info` differs from the replica's.
    #[error("`info` can't change once a replica is in the cluster: {0}")]
    InfoChanged(String),
}

/// Chooses the replica and the version that a request leads to.
///
/// `replicas` are those that are loaded; `next_replica_id` is used if the request makes a new one.
pub fn plan(
    request: &LoadRequest,
    validated: &ValidatedRequest,
    asked: &ApproveLoadRequest,
    replicas: &[Existing],
    next_replica_id: ReplicaId,
    approved_by: AccountId,
    approved_at: Timestamp,
) -> Result<Plan, PlanError> {
    let requirements = choose(&validated.requirements, &asked.requirement_replica_ids, replicas)?;
    let name = request
        .replica_name
        .clone()
        .unwrap_or_else(|| validated.manifest.info.name.clone());
    let info = &validated.manifest.info;
    let (replica_id, name, version_id) = match instance(request, validated, replicas)? {
        Some(replica) => {
            if let Some(difference) = info_difference(&replica.info, info) {
                return Err(PlanError::InfoChanged(difference));
            }
            // `{replica.name}` was filled in when the request was checked.
            if replica.name != name {
                return Err(PlanError::LoadedMeanwhile(replica.name.clone()));
            }
            (replica.id, name, replica.last_version + 1)
        }
        None if replicas.iter().any(|replica| replica.name == name) => {
            return Err(PlanError::NameTaken(name));
        }
        None => (next_replica_id, name, 1),
    };
    Ok(Plan {
        load_request_id: request.id,
        replica_id,
        name,
        version_id,
        image: format!("{}@{}", validated.manifest.identity, validated.digest),
        manifest: validated.manifest.clone(),
        requirements,
        release_notes: validated.release_notes.clone(),
        owner_id: request.owner_id.clone(),
        approved_by,
        approved_at,
        permissions_expire_at: asked.expires_at,
        owners: None,
    })
}

/// The replica that the request updates. An exclusive one may have come since the request was checked.
fn instance<'a>(
    request: &LoadRequest,
    validated: &ValidatedRequest,
    replicas: &'a [Existing],
) -> Result<Option<&'a Existing>, PlanError> {
    let manifest = &validated.manifest;
    match request.replica_id {
        Some(id) => {
            let replica = replicas.iter().find(|replica| replica.id == id);
            replica.map(Some).ok_or(PlanError::ReplicaGone(id))
        }
        None => Ok(replicas.iter().find(|replica| {
            replica.identity == manifest.identity && (replica.info.exclusive || manifest.info.exclusive)
        })),
    }
}

fn choose(
    requirements: &[RequirementChoice],
    chosen: &BTreeMap<String, Vec<ReplicaId>>,
    replicas: &[Existing],
) -> Result<BTreeMap<String, Vec<ReplicaId>>, PlanError> {
    if let Some(key) = chosen
        .keys()
        .find(|key| !requirements.iter().any(|choice| choice.key == **key))
    {
        return Err(PlanError::UnknownRequirement(key.clone()));
    }
    requirements
        .iter()
        .map(|choice| {
            let choice = still_there(choice, replicas);
            let served_by = choose_one(&choice, chosen.get(&choice.key))?;
            Ok((choice.key, served_by))
        })
        .collect()
}

/// The choice without replicas that were unloaded, or stopped implementing the contract, since the request was checked.
fn still_there(choice: &RequirementChoice, replicas: &[Existing]) -> RequirementChoice {
    let implements = |id: &ReplicaId| {
        let mut implementing = replicas
            .iter()
            .filter(|replica| replica.implementations.contains(&choice.contract));
        implementing.any(|replica| replica.id == *id)
    };
    let mut choice = choice.clone();
    choice.candidates.retain(implements);
    choice
}

fn choose_one(
    choice: &RequirementChoice,
    chosen: Option<&Vec<ReplicaId>>,
) -> Result<Vec<ReplicaId>, PlanError> {
    let Some(chosen) = chosen else {
        let all = if choice.multiple {
            choice.candidates.len()
        } else {
            1
        };
        let taken: Vec<_> = choice.candidates.iter().copied().take(all).collect();
        return if taken.is_empty() && !choice.optional {
            Err(PlanError::NothingChosen(choice.key.clone()))
        } else {
            Ok(taken)
        };
    };
    if let Some(&replica) = chosen.iter().find(|id| !choice.candidates.contains(id)) {
        return Err(PlanError::NotACandidate {
            key: choice.key.clone(),
            contract: choice.contract.clone(),
            replica,
        });
    }
    match chosen.len() {
        0 if !choice.optional => Err(PlanError::NothingChosen(choice.key.clone())),
        2.. if !choice.multiple => Err(PlanError::TooManyChosen(choice.key.clone())),
        _ => Ok(chosen.clone()),
    }
}

/// Says which field of `info` differs, if any.
pub fn info_difference(old: &Info, new: &Info) -> Option<String> {
    let fields = [
        ("name", old.name == new.name, old.name.clone(), new.name.clone()),
        (
            "class",
            old.class == new.class,
            format!("{:?}", old.class),
            format!("{:?}", new.class),
        ),
        (
            "exclusive",
            old.exclusive == new.exclusive,
            old.exclusive.to_string(),
            new.exclusive.to_string(),
        ),
        (
            "scalable",
            old.scalable == new.scalable,
            old.scalable.to_string(),
            new.scalable.to_string(),
        ),
    ];
    fields
        .into_iter()
        .find(|(_, same, ..)| !same)
        .map(|(field, _, old, new)| format!("{field} was {old} and would be {new}"))
}

/// Returns the first free name of `name`, `name-1`, `name-2`, …, cut so that it stays within the limit.
pub fn free_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    (1u32..)
        .map(|n| {
            let suffix = format!("-{n}");
            let room = REPLICA_NAME_BYTES_MAX - suffix.len();
            format!("{}{suffix}", &name[..name.len().min(room)])
        })
        .find(|candidate| !taken(candidate))
        .expect("finitely many names are taken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_until_one_is_free() {
        let taken = ["greeter", "greeter-1"];
        assert_eq!(free_name("greeter", |name| taken.contains(&name)), "greeter-2");
        assert_eq!(free_name("visitor", |name| taken.contains(&name)), "visitor");
    }

    #[test]
    fn a_numbered_name_stays_within_the_limit() {
        let long = "a".repeat(REPLICA_NAME_BYTES_MAX);
        let name = free_name(&long, |name| name == long);
        assert_eq!(name.len(), REPLICA_NAME_BYTES_MAX);
        assert!(name.ends_with("-1"));
    }

    fn choice(candidates: &[ReplicaId], optional: bool, multiple: bool) -> RequirementChoice {
        RequirementChoice {
            key: "greeter".into(),
            contract: Identity::from_static("ghcr.io/exeteres/reside/contracts/greeter.v1"),
            optional,
            multiple,
            candidates: candidates.to_vec(),
        }
    }

    #[test]
    fn without_a_choice_the_oldest_candidate_serves() {
        assert_eq!(choose_one(&choice(&[3, 5], false, false), None), Ok(vec![3]));
        assert_eq!(choose_one(&choice(&[3, 5], false, true), None), Ok(vec![3, 5]));
        assert_eq!(choose_one(&choice(&[], true, false), None), Ok(vec![]));
        assert_eq!(
            choose_one(&choice(&[], false, false), None),
            Err(PlanError::NothingChosen("greeter".into()))
        );
    }

    #[test]
    fn a_choice_keeps_within_optional_and_multiple() {
        let check = |ids: &[ReplicaId], optional, multiple| {
            choose_one(&choice(&[3, 5], optional, multiple), Some(&ids.to_vec()))
        };
        assert_eq!(check(&[5], false, false), Ok(vec![5]));
        assert_eq!(
            check(&[3, 5], false, false),
            Err(PlanError::TooManyChosen("greeter".into()))
        );
        assert_eq!(check(&[], true, false), Ok(vec![]));
        assert!(matches!(
            check(&[9], false, false),
            Err(PlanError::NotACandidate { replica: 9, .. })
        ));
    }
}
