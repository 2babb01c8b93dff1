//! Carries out a plan, step by step. Each step looks whether it has been done; ids follow from the plan, so a step that
//! is done again finds what it made.

use std::sync::Arc;

use alpha_v1::{LoadRequestStatus, ManagementBlock, ReplicaRecord, ReplicaVersion, VersionStatus};
use futures::future::BoxFuture;
use jazz::{AgentSecret, Credentials, WriteError};
use reside::prelude::*;

use crate::plan::Plan;
use crate::state::State;

/// Makes accounts exist.
pub trait Accounts: Send + Sync + 'static {
    /// Makes the account of this secret, unless it exists, and waits until the sync server has it.
    fn ensure(&self, credentials: Credentials, name: String) -> BoxFuture<'_, Result<(), BoxError>>;
}

/// Makes accounts by connecting to a sync server in their name.
pub struct ServerAccounts {
    /// WebSocket address of the sync server.
    pub sync_server_url: String,
}

impl Accounts for ServerAccounts {
    fn ensure(&self, credentials: Credentials, name: String) -> BoxFuture<'_, Result<(), BoxError>> {
        let connecting = Node::builder()
            .sync_server(&self.sync_server_url)
            .account_or_create(credentials, name);
        Box::pin(async move {
            let node = connecting.connect().await?;
            node.wait_for_sync(SYNC_TIMEOUT).await?;
            node.shutdown().await;
            Ok(())
        })
    }
}

/// How long the sync server may take to confirm.
pub const SYNC_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// Makes everything that the plan says: the replica's account, its control block, its record and its version.
pub async fn carry_out(state: &State, accounts: &Arc<dyn Accounts>, plan: &Plan) -> Result<(), BoxError> {
    let record = match state.replica(plan.replica_id).await? {
        Some(replica) => replica.handle,
        None => make_replica(state, accounts, plan).await?,
    };
    add_version(state, plan, &record).await?;
    finish_request(state, plan).await?;
    state.plans.remove(plan.load_request_id.to_string())?;
    Ok(())
}

async fn make_replica(
    state: &State,
    accounts: &Arc<dyn Accounts>,
    plan: &Plan,
) -> Result<Co<ReplicaRecord>, BoxError> {
    let owners = plan.owners.as_ref().ok_or("the replica of the plan has gone")?;
    let secret = state
        .secrets
        .get(plan.replica_id.to_string())?
        .ok_or("the plan's account has no secret")?;
    let credentials = Credentials::of(secret.parse::<AgentSecret>()?);
    let account = credentials.account_id.clone();
    // An account is made elsewhere: it must not exist before its secret and the plan are safe.
    state.node.wait_for_sync(SYNC_TIMEOUT).await?;
    accounts.ensure(credentials, plan.name.clone()).await?;
    let rcb = make_control_block(state, plan, &owners.control_block, &account).await?;
    let readers = state.replicas.owner();
    let management_group = state.node.load_group(owners.management.id()).await?;
    extend(&management_group, &state.replica_manage_group, Role::Writer).await?;
    extend(&management_group, &readers, Role::Reader).await?;
    let management = ManagementBlock {
        enabled: true,
        placement_group: None,
        dev: None,
    };
    let (node, id, manifest) = (&state.node, plan.replica_id, &plan.manifest);
    let management = node
        .get_or_create_unique(&management_group, "management", management)
        .await?;
    let versions: Co<CoRecord<Ref<ReplicaVersion>>> = node
        .get_or_create_unique_record(&readers, format!("replica/{id}/versions"))
        .await?;
    let record = ReplicaRecord {
        id,
        name: plan.name.clone(),
        identity: manifest.identity.clone(),
        info: manifest.info.clone(),
        display_info: manifest.display_info.clone(),
        account,
        rcb: rcb.reference(),
        management: management.reference(),
        versions: versions.reference(),
        current_version: plan.version_id,
        implementations: Vec::new(),
        owner_id: plan.owner_id.clone(),
        permission_request_group: None,
        unloaded_at: None,
    };
    let record = node
        .get_or_create_unique(&readers, format!("replica/{id}"), record)
        .await?;
    state.replicas.insert(id.to_string(), &record.reference())?;
    Ok(record)
}

/// Makes the control block, writable for the replica and for whoever may manage control blocks.
async fn make_control_block(
    state: &State,
    plan: &Plan,
    owner: &Ref<Group>,
    account: &AccountId,
) -> Result<Co<ControlBlock>, BoxError> {
    let group = state.node.load_group(owner.id()).await?;
    extend(&group, &state.rcb_manage_group, Role::Writer).await?;
    if group.role_of(account).is_none() {
        group.add_member(account, Role::Writer).await?;
    }
    ControlBlock::open(&state.node, &group, plan.replica_id, &plan.name).await
}

/// Makes the members of another group members of this one, unless they are.
pub async fn extend(group: &Group, parent: &Group, role: Role) -> Result<(), BoxError> {
    if !group.parents()?.contains(&parent.reference()) {
        group.extend_as(parent, role).await?;
    }
    Ok(())
}

async fn add_version(state: &State, plan: &Plan, record: &Co<ReplicaRecord>) -> Result<(), BoxError> {
    let versions = state.node.load(&record.get()?.versions).await?;
    let number = plan.version_id.to_string();
    if !versions.contains_key(&number)? {
        let version = ReplicaVersion {
            id: plan.version_id,
            image: plan.image.clone(),
            status: VersionStatus::Unknown,
            manifest: plan.manifest.clone(),
            requirements: plan.requirements.clone(),
            created_at: plan.approved_at,
            load_request_id: plan.load_request_id,
            permissions_expire_at: plan.permissions_expire_at,
            error_message: None,
            release_notes: plan.release_notes.clone(),
        };
        let unique = format!("replica/{}/version/{number}", plan.replica_id);
        let owner = state.replicas.owner();
        let made = state.node.get_or_create_unique(&owner, unique, version).await?;
        versions.insert(&number, &made.reference())?;
    }
    make_current(record, plan.version_id, &plan.manifest)?;
    Ok(())
}

/// Makes a version the current one. The lookups follow from the record.
pub fn make_current(
    record: &Co<ReplicaRecord>,
    version: u32,
    manifest: &ReplicaManifest,
) -> Result<(), WriteError> {
    let implementations = manifest.implementations.values();
    let implementations = implementations.map(|implementation| implementation.identity.clone());
    record.update(|record| {
        record.current_version = version;
        record.implementations = implementations.collect();
        record.display_info = manifest.display_info.clone();
    })
}

async fn finish_request(state: &State, plan: &Plan) -> Result<(), BoxError> {
    let Some(request) = state.load_request(plan.load_request_id).await? else {
        return Ok(());
    };
    request.update(|request| {
        request.status = LoadRequestStatus::Approved;
        request.replica_id = Some(plan.replica_id);
        request.replica_name = Some(plan.name.clone());
        request.version_id = Some(plan.version_id);
        request.decided_by = Some(plan.approved_by.clone());
    })?;
    Ok(())
}
