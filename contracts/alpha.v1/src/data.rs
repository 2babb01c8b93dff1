//! What Alpha publishes (SYSTEM.md, section 6). The outer map is public; each collection has a group of its own.

use std::collections::BTreeMap;

use jazz::{AccountId, Co, CoMap, CoRecord, Group, Node, Ref, Timestamp};
use reside::prelude::*;
use reside::rcb::Expected;
use reside::{ControlBlock, RequestedPermission};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Alpha's contract data.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct AlphaData {
    /// The account that claimed the cluster; absent until somebody did.
    pub super_admin_account: Option<AccountId>,
    /// The replica with which accounts register as users; public, because those who want to register may read nothing yet.
    pub user_manager: Option<AccountId>,
    /// Replicas by id; readable with [`ReadReplicas`](crate::ReadReplicas).
    pub replicas: Ref<CoRecord<Ref<ReplicaRecord>>>,
    /// Contracts by id; public.
    pub contracts: Ref<CoRecord<Ref<ContractRecord>>>,
    /// Who was given what, and why; readable with [`GrantPermissions`](crate::GrantPermissions). By [`GrantRecord::key`].
    pub grants: Ref<CoRecord<Ref<GrantRecord>>>,
    /// Load requests by id; readable with [`ReadLoadRequests`](crate::ReadLoadRequests).
    pub load_requests: Ref<CoRecord<Ref<LoadRequest>>>,
    /// Permissions asked for at run time, by id; readable with
    /// [`ApprovePermissionRequests`](crate::ApprovePermissionRequests). See [`permission_requests`](crate::permission_requests).
    pub permission_requests: Option<Ref<CoRecord<Ref<RequestedPermission>>>>,
    /// Group whose members may read and write every control block.
    pub rcb_manage_group: Ref<Group>,
    /// Group whose members may write every management block.
    pub replica_manage_group: Ref<Group>,
}

/// A permission of an account at one replica, with the reasons for it. It holds as long as there is one.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct GrantRecord {
    /// The replica that implements the contract.
    pub replica_id: ReplicaId,
    /// Whose permission it is.
    pub account: AccountId,
    /// The contract that defines it.
    pub contract: Identity,
    /// Its name in the contract.
    pub permission: String,
    /// Which instance, if the permission has instance keys.
    pub instance_id: Option<String>,
    /// Its params: those of the reason that decides, or of the last that did.
    pub params: Map<String, Value>,
    /// Why it is granted. Those whose time is over stay here until somebody takes them back or gives them anew.
    pub reasons: Vec<GrantReason>,
    /// Who took it back last.
    pub revoked: Option<Revocation>,
}

/// Why a permission is granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantReason {
    /// What it is.
    #[serde(flatten)]
    pub kind: GrantKind,
    /// With which params; absent in what older versions of Alpha wrote: those of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// From then on it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The kinds of reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum GrantKind {
    /// The current version of a replica asks for it, and was approved.
    Static {
        /// The replica.
        #[serde(rename = "replicaId")]
        replica_id: ReplicaId,
        /// Its version.
        #[serde(rename = "versionId")]
        version_id: u32,
    },
    /// An administrator granted it.
    Manual {
        /// Who.
        by: AccountId,
        /// When.
        at: Timestamp,
    },
    /// A replica asked for it at run time, and an administrator approved it.
    Dynamic {
        /// The request.
        #[serde(rename = "requestId")]
        request_id: u32,
        /// Who approved it.
        by: AccountId,
        /// When.
        at: Timestamp,
    },
}

/// Who took a permission back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Who.
    pub by: AccountId,
    /// When.
    pub at: Timestamp,
}

impl GrantReason {
    /// Tells whether it is one at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Where params differ, an administrator's own grant decides, then what was asked for at run time, then the version.
    fn rank(&self) -> u8 {
        match self.kind {
            GrantKind::Static { .. } => 0,
            GrantKind::Dynamic { .. } => 1,
            GrantKind::Manual { .. } => 2,
        }
    }
}

impl GrantRecord {
    /// Returns what the control block has to expect at this time.
    ///
    /// Of reasons with different params one decides, and the permission ends with the last reason that has its params:
    /// nothing may count for longer than somebody said, even if nobody is awake to go over to the other params.
    pub fn expected(&self, now: Timestamp) -> Expected {
        let params = |reason: &GrantReason| reason.params.clone().unwrap_or_else(|| self.params.clone());
        let active = || self.reasons.iter().filter(|reason| reason.is_active(now));
        let Some(decisive) = active().max_by_key(|reason| reason.rank()).map(params) else {
            return Expected::revoked(self.params.clone());
        };
        let ends = active()
            .filter(|reason| params(reason) == decisive)
            .map(|reason| reason.expires_at);
        // Without an end is later than any.
        let last = ends.max_by_key(|end| end.map_or(Timestamp(u64::MAX), |end| end));
        Expected {
            expires_at: last.flatten(),
            ..Expected::granted(decisive)
        }
    }

    /// Returns when one of the reasons ends next.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.reasons.iter().filter_map(|reason| reason.expires_at);
        ends.filter(|end| now < *end).min()
    }

    /// Returns the key under which grants are kept: the replica, then what names the permission there.
    pub fn key(&self) -> String {
        let entry = reside::permission::entry_key(
            self.account.as_str(),
            &self.contract,
            &self.permission,
            self.instance_id.as_deref(),
        );
        format!("{}/{entry}", self.replica_id)
    }
}

/// The number of a replica in its cluster: seed 0, Alpha 1, sentinel 2, others from 3; never used twice.
pub type ReplicaId = u32;

/// One instance of a replica in the cluster.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ReplicaRecord {
    /// Its number.
    pub id: ReplicaId,
    /// Technical name, unique in the cluster.
    pub name: String,
    /// The image name it was loaded from.
    pub identity: Identity,
    /// What can't change between versions.
    pub info: Info,
    /// Texts for people.
    pub display_info: DisplayInfo,
    /// Its Jazz account.
    pub account: AccountId,
    /// Its control block.
    pub rcb: Ref<ControlBlock>,
    /// Switches for administrators.
    pub management: Ref<ManagementBlock>,
    /// Versions by id.
    pub versions: Ref<CoRecord<Ref<ReplicaVersion>>>,
    /// The version that runs or should run.
    pub current_version: u32,
    /// Contracts that the current version implements.
    pub implementations: Vec<Identity>,
    /// Who asked for it on behalf of whom.
    pub owner_id: Option<String>,
    /// Owns what it asks for at run time, so that it can read that; absent until it has asked.
    pub permission_request_group: Option<Ref<Group>>,
    /// When it was unloaded; such a replica has no workload and no rights.
    pub unloaded_at: Option<Timestamp>,
}

/// One loaded image of a replica.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ReplicaVersion {
    /// Counts from 1 per replica.
    pub id: u32,
    /// `identity@digest`.
    pub image: String,
    /// Derived from the live workload.
    pub status: VersionStatus,
    /// The manifest the image carried.
    pub manifest: ReplicaManifest,
    /// Replicas chosen for each requirement.
    pub requirements: BTreeMap<String, Vec<ReplicaId>>,
    /// When it was approved.
    pub created_at: Timestamp,
    /// The request that brought it.
    pub load_request_id: u32,
    /// When the permissions end that were approved with it.
    pub permissions_expire_at: Option<Timestamp>,
    /// Why the status is `error`.
    pub error_message: Option<String>,
    /// What its author says about it, as Markdown.
    pub release_notes: Option<String>,
}

/// How a version is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionStatus {
    /// Nothing was observed yet.
    Unknown,
    /// The workload exists and isn't ready yet.
    Starting,
    /// Ready.
    Running,
    /// Was ready or should be, and isn't: it crashes or fails its probe.
    Degraded,
    /// Ready, while a newer version is current.
    RunningOutdated,
    /// A oneshot that has done its work.
    Completed,
    /// Being stopped.
    Stopping,
    /// Has no process.
    Stopped,
    /// Can't run; `error_message` says why.
    Error,
}

/// What an administrator may set for a replica.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ManagementBlock {
    /// A disabled replica has no process.
    pub enabled: bool,
    /// Nodes it may run on (`reside.io/placement-group`).
    pub placement_group: Option<String>,
    /// Somebody runs the replica in the cluster's stead; no version of it has a process meanwhile. Alpha takes the field
    /// away when the session no longer holds the lock [`DevSession::lock`].
    pub dev: Option<DevSession>,
}

/// A replica that somebody runs from its sources in the cluster's stead (`reside dev`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DevSession {
    /// Whose session it is.
    pub by: AccountId,
    /// When it began.
    pub since: Timestamp,
}

impl DevSession {
    /// The lock that a session holds for as long as it lasts. It is taken before the field is set.
    pub fn lock(replica: ReplicaId) -> String {
        format!("reside/dev/{replica}")
    }
}

/// A contract known to the cluster.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct ContractRecord {
    /// Counts from 1.
    pub id: u32,
    /// Its image name.
    pub identity: Identity,
    /// Digest of the image its manifest was read from; absent if it came with a replica of the system.
    pub digest: Option<String>,
    /// Its manifest.
    pub manifest: ContractManifest,
}

/// A request to load a replica.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct LoadRequest {
    /// Counts from 1.
    pub id: u32,
    /// The reference that was asked for.
    pub image: String,
    /// Where it stands.
    pub status: LoadRequestStatus,
    /// Who asked.
    pub requested_by: AccountId,
    /// On behalf of whom.
    pub owner_id: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// The instance that was asked for or found.
    pub replica_id: Option<ReplicaId>,
    /// The name it will have.
    pub replica_name: Option<String>,
    /// What validation found; present from `requires-approval` on.
    pub validated: Option<ValidatedRequest>,
    /// The version an approval made.
    pub version_id: Option<u32>,
    /// Who approved or rejected it.
    pub decided_by: Option<AccountId>,
    /// Why it is invalid.
    pub error_message: Option<String>,
    /// Why it was rejected.
    pub rejection_reason: Option<String>,
}

/// States of a load request: `validating` → `invalid` | `requires-approval` → `approved` | `rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadRequestStatus {
    /// Alpha looks at the image.
    Validating,
    /// It can't be loaded; `error_message` says why.
    Invalid,
    /// Waits for an administrator.
    RequiresApproval,
    /// Loaded.
    Approved,
    /// Refused by an administrator.
    Rejected,
}

/// What validation found out about an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidatedRequest {
    /// The digest the reference pointed to.
    pub digest: String,
    /// The manifest, names filled in.
    pub manifest: ReplicaManifest,
    /// Who could serve each requirement.
    pub requirements: Vec<RequirementChoice>,
    /// What its author says about this version, as Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_notes: Option<String>,
}

/// The replicas that implement one required contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequirementChoice {
    /// Key of the requirement.
    pub key: String,
    /// The contract.
    pub contract: Identity,
    /// May stay without a replica.
    pub optional: bool,
    /// May have several.
    pub multiple: bool,
    /// Replicas that implement it, oldest first.
    pub candidates: Vec<ReplicaId>,
}

impl Migrate for AlphaData {
    async fn init(node: &Node, owner: &Group) -> Result<Self, BoxError> {
        let _ = owner;
        let private = || node.create_group();
        let contracts = node.create_group()?;
        contracts.set_everyone(jazz::Role::Reader)?;
        Ok(Self {
            super_admin_account: None,
            user_manager: None,
            replicas: node
                .create_record::<&str, Ref<ReplicaRecord>>(&private()?, [])?
                .reference(),
            contracts: node
                .create_record::<&str, Ref<ContractRecord>>(&contracts, [])?
                .reference(),
            grants: node
                .create_record::<&str, Ref<GrantRecord>>(&private()?, [])?
                .reference(),
            load_requests: node
                .create_record::<&str, Ref<LoadRequest>>(&private()?, [])?
                .reference(),
            permission_requests: Some(new_permission_requests(node)?),
            rcb_manage_group: private()?.reference(),
            replica_manage_group: private()?.reference(),
        })
    }

    /// Clusters that are older than permission requests get their place.
    async fn migrate(data: &Co<Self>) -> Result<(), BoxError> {
        if data.get()?.permission_requests.is_none() {
            let requests = new_permission_requests(data.node())?;
            data.update(|data| data.permission_requests = Some(requests))?;
        }
        Ok(())
    }
}

fn new_permission_requests(node: &Node) -> Result<Ref<CoRecord<Ref<RequestedPermission>>>, BoxError> {
    let readers = node.create_group()?;
    Ok(node
        .create_record::<&str, Ref<RequestedPermission>>(&readers, [])?
        .reference())
}

/// Loads what a reference of Alpha's data leads to.
pub(crate) async fn load<T: jazz::CoValue>(
    data: &Co<AlphaData>,
    reference: &Ref<T>,
) -> Result<Co<T>, jazz::LoadError> {
    data.node().load(reference).await
}
