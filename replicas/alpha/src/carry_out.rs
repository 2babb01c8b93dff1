//! Carries out a plan, step by step. Each step looks whether it has been done; ids follow from the plan, so a step that
//! is done again finds what it made.

use std::sync::Arc;

use alpha_v1::{
    LoadRequestStatus, ManagementBlock, ReplicaKey, ReplicaRecord, ReplicaVersion, VersionStatus,
};
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
    let secret = state
        .secrets
        .get(plan.replica_id.to_string())?
        .ok_or("the plan's account has no secret")?;
    let credentials = Credentials::of(secret.parse::<AgentSecret>()?);
    let account = credentials.account_id.clone();
    accounts.ensure(credentials, plan.name.clone()).await?;
    let rcb = make_control_block(state, plan, &account).await?;
    let readers = state.replicas.owner();
    let management_group = state.node.create_group()?;
    management_group
        .extend_as(&state.replica_manage_group, Role::Writer)
        .await?;
    management_group.extend_as(&readers, Role::Reader).await?;
    let manifest = &plan.manifest;
    let made = state.transaction(|tx| {
        let management = tx.create(
            &management_group,
            ManagementBlock {
                enabled: true,
                placement_group: None,
            },
        )?;
        let versions = tx.create_record::<&str, Ref<ReplicaVersion>>(&readers, [])?;
        let record = ReplicaRecord {
            id: plan.replica_id,
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
            unloaded_at: None,
        };
        let record = tx.create(&readers, record)?;
        tx.insert(&state.replicas, plan.replica_id.to_string(), &record.reference())?;
        Ok(record)
    })?;
    Ok(made)
}

/// Makes the control block, writable for the replica and for whoever may manage control blocks.
async fn make_control_block(
    state: &State,
    plan: &Plan,
    account: &AccountId,
) -> Result<Co<ControlBlock>, BoxError> {
    let group = match &plan.control_block {
        Some(block) => state.node.load(block).await?.owner(),
        None => state.node.create_group()?,
    };
    if !group.parents()?.contains(&state.rcb_manage_group.reference()) {
        group.extend_as(&state.rcb_manage_group, Role::Writer).await?;
    }
    if group.role_of(account).is_none() {
        group.add_member(account, Role::Writer).await?;
    }
    ControlBlock::open(&state.node, &group, plan.replica_id, &plan.name).await
}

async fn add_version(state: &State, plan: &Plan, record: &Co<ReplicaRecord>) -> Result<(), BoxError> {
    let versions = state.node.load(&record.get()?.versions).await?;
    let implementations: Vec<Identity> = plan
        .manifest
        .implementations
        .values()
        .map(|implementation| implementation.identity.clone())
        .collect();
    if !versions.contains_key(plan.version_id.to_string())? {
        let owner = state.replicas.owner();
        let version = ReplicaVersion {
            id: plan.version_id,
            image: plan.image.clone(),
            status: VersionStatus::Unknown,
            manifest: plan.manifest.clone(),
            requirements: plan.requirements.clone(),
            created_at: plan.approved_at,
            load_request_id: plan.load_request_id,
            error_message: None,
        };
        state.transaction(|tx| {
            let made = tx.create(&owner, version)?;
            tx.insert(&versions, plan.version_id.to_string(), &made.reference())
        })?;
    }
    make_current(
        state,
        record,
        plan.version_id,
        implementations,
        &plan.manifest.display_info,
    )
    .await?;
    Ok(())
}

/// Makes a version the current one, in the record and in the lookups.
pub async fn make_current(
    state: &State,
    record: &Co<ReplicaRecord>,
    version: u32,
    implementations: Vec<Identity>,
    display_info: &DisplayInfo,
) -> Result<(), WriteError> {
    let before = record.get()?;
    let id = before.id;
    state.add_to_index(ReplicaKey::Name(&before.name), id).await?;
    state
        .add_to_index(ReplicaKey::Identity(&before.identity), id)
        .await?;
    for contract in &implementations {
        state.add_to_index(ReplicaKey::Contract(contract), id).await?;
    }
    for contract in before
        .implementations
        .iter()
        .filter(|contract| !implementations.contains(contract))
    {
        state
            .remove_from_index(ReplicaKey::Contract(contract), id)
            .await?;
    }
    record.update(|record| {
        record.current_version = version;
        record.implementations = implementations;
        record.display_info = display_info.clone();
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
