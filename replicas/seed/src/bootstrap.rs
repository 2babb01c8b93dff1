//! Makes a cluster on one machine: accounts and control blocks by hand, everything else through Alpha's and the
//! sentinel's own code, run in this process until the real ones take over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alpha::{ClusterSettings, ServerAccounts, Setup, SystemReplica};
use alpha_v1::AlphaContract;
use jazz::{AccountId, Credentials};
use kubernetes_sentinel_v1::{
    Kind as ManagedKind, KubernetesSentinelContract, ManagedObject, ObjectStatus, SentinelData,
};
use local_sentinel::Keeper;
use reside::config::NetworkConfig;
use reside::locks::{Locks, MemoryLocks};
use reside::prelude::*;
use reside::rpc::HttpTransport;
use reside::{Clock, Launch};
use reside_image::Store;
use reside_local::RuntimeClient;
use tokio_util::sync::CancellationToken;

use crate::keys::Keys;
use crate::sync_server::{NAME as SYNC_SERVER, SyncServer, sync_server_objects};

/// How long the sync server may take to confirm.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// What a bootstrap needs.
pub struct Bootstrap {
    /// The runtime that everything will run on; its sync server is up.
    pub runtime: RuntimeClient,
    /// WebSocket address of the sync server.
    pub sync_server_url: String,
    /// Base URL of the gateway.
    pub endpoint: String,
    /// The sync server's place, to have it managed.
    pub sync_server_image: String,
    /// Its port.
    pub sync_server_port: u16,
    /// Its database.
    pub sync_server_storage: PathBuf,
    /// Folder of the image store.
    pub image_store: PathBuf,
    /// `identity@digest` of the Seed's image.
    pub seed_image: String,
    /// `identity@digest` of Alpha's image.
    pub alpha_image: String,
    /// `identity@digest` of the sentinel's image.
    pub sentinel_image: String,
    /// Where the first keys are kept.
    pub keys: PathBuf,
}

/// A cluster whose workloads have been handed to the runtime.
pub struct Bootstrapped {
    /// Alpha's account, from which everything else is found.
    pub alpha: AccountId,
    /// Claims the cluster, once.
    pub claim_token: String,
}

/// Makes the cluster, or finishes what a former run has left.
pub async fn bootstrap(config: Bootstrap) -> Result<Bootstrapped, BoxError> {
    let mut keys = Keys::open(&config.keys)?;
    let alpha_node = connect(&config, &keys.alpha, "alpha").await?;
    let sentinel_node = connect(&config, &keys.sentinel, "local-sentinel").await?;
    make_control_blocks(&mut keys, &alpha_node).await?;

    let stop = CancellationToken::new();
    let sentinel = launch(&config, &sentinel_node, &keys.sentinel_control_block, &stop)?
        .start(&local_sentinel::definition())
        .await?;
    let alpha = launch(&config, &alpha_node, &keys.alpha_control_block, &stop)?
        .start(&alpha::definition())
        .await?;

    let sentinel_data = sentinel
        .replica()
        .implementation::<KubernetesSentinelContract>()?
        .data()
        .clone();
    load_system(&config, &keys, alpha.replica()).await?;
    register_sync_server(&config, &sentinel_data).await?;
    for node in [&alpha_node, &sentinel_node] {
        node.wait_for_sync(SYNC_TIMEOUT).await?;
    }
    // From here on the real Alpha may run: its stand-in must not write any more.
    alpha.run(async { Ok(()) }).await?;
    alpha_node.shutdown().await;

    Keeper::open(&sentinel_data, config.runtime.clone())
        .await?
        .apply_wishes()
        .await?;
    sentinel.run(async { Ok(()) }).await?;
    sentinel_node.shutdown().await;
    Ok(Bootstrapped {
        alpha: keys.alpha.account_id.clone(),
        claim_token: keys.claim_token.clone(),
    })
}

async fn connect(config: &Bootstrap, credentials: &Credentials, name: &str) -> Result<Node, BoxError> {
    let connecting = Node::builder()
        .sync_server(&config.sync_server_url)
        .account_or_create(credentials.clone(), name);
    let node = connecting.connect().await?;
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    Ok(node)
}

/// Makes the control blocks without which neither Alpha nor the sentinel can start. Alpha adopts them later.
async fn make_control_blocks(keys: &mut Keys, alpha: &Node) -> Result<(), BoxError> {
    if keys.alpha_control_block.is_none() {
        let group = alpha.create_group()?;
        let block = ControlBlock::open(alpha, &group, 1, "alpha").await?;
        let served_by = vec![keys.sentinel.account_id.clone()];
        ControlBlock::set_requirement(&block, "sentinel", &served_by).await?;
        alpha.wait_for_sync(SYNC_TIMEOUT).await?;
        keys.alpha_control_block = Some(block.reference());
        keys.save()?;
    }
    if keys.sentinel_control_block.is_none() {
        let group = alpha.create_group()?;
        group.add_member(&keys.sentinel.account_id, Role::Writer).await?;
        let block = ControlBlock::open(alpha, &group, 2, "local-sentinel").await?;
        alpha.wait_for_sync(SYNC_TIMEOUT).await?;
        keys.sentinel_control_block = Some(block.reference());
        keys.save()?;
    }
    Ok(())
}

fn launch(
    config: &Bootstrap,
    node: &Node,
    block: &Option<Ref<ControlBlock>>,
    stop: &CancellationToken,
) -> Result<Launch, BoxError> {
    let block = block.as_ref().ok_or("the control block was not made")?;
    Ok(Launch {
        node: node.clone(),
        control_block: block.id().clone(),
        network: NetworkConfig {
            internal_endpoint: Some(config.endpoint.clone()),
            external_endpoint: Some(config.endpoint.clone()),
            ..NetworkConfig::default()
        },
        transport: Arc::new(HttpTransport::default()),
        clock: Clock::System,
        locks: Locks::new(MemoryLocks::default()),
        sync_server: config.sync_server_url.clone().into(),
        shutdown: stop.clone(),
    })
}

/// Loads the sentinel, Alpha and the Seed through Alpha's own code, and writes their workloads.
async fn load_system(config: &Bootstrap, keys: &Keys, alpha: &Replica) -> Result<(), BoxError> {
    let settings = ClusterSettings {
        sync_server_url: config.sync_server_url.clone(),
        internal_endpoint: config.endpoint.clone(),
        external_endpoint: Some(config.endpoint.clone()),
        image_store: Some(config.image_store.display().to_string()),
    };
    let images = Arc::new(Store::open(&config.image_store)?);
    let accounts = Arc::new(ServerAccounts {
        sync_server_url: config.sync_server_url.clone(),
    });
    let setup = Setup::open(alpha, settings, images, accounts).await?;
    setup.register::<KubernetesSentinelContract>().await?;
    setup.register::<AlphaContract>().await?;
    setup.set_claim_token(&keys.claim_token)?;
    let system =
        |id, image: &String, credentials: &Credentials, control_block: &Option<Ref<ControlBlock>>| {
            let (image, secret) = (image.clone(), credentials.agent_secret.clone());
            SystemReplica {
                id,
                image,
                secret,
                control_block: control_block.clone(),
            }
        };
    setup
        .load(&[
            system(
                2,
                &config.sentinel_image,
                &keys.sentinel,
                &keys.sentinel_control_block,
            ),
            system(1, &config.alpha_image, &keys.alpha, &keys.alpha_control_block),
            system(0, &config.seed_image, &keys.seed, &None),
        ])
        .await?;
    let sentinel = alpha.requirement::<KubernetesSentinelContract>("sentinel")?;
    sentinel.wait_until_granted().await?;
    setup.write_objects(sentinel.data().await?).await?;
    setup.close();
    Ok(())
}

/// Has the sync server, which was made by hand, managed like everything else.
async fn register_sync_server(config: &Bootstrap, sentinel: &Co<SentinelData>) -> Result<(), BoxError> {
    let server = SyncServer {
        image: &config.sync_server_image,
        port: config.sync_server_port,
        storage: &config.sync_server_storage,
    };
    let data = sentinel.get()?;
    for (kind, manifest) in sync_server_objects(&server) {
        let kind = ManagedKind::ALL
            .into_iter()
            .find(|managed| managed.to_string() == kind.to_string());
        let kind = kind.ok_or("the sentinel does not manage what the sync server needs")?;
        let collection = sentinel.node().load(data.collection(kind)).await?;
        let object = ManagedObject {
            name: SYNC_SERVER.to_owned(),
            status: ObjectStatus::Requested,
            manifest: Some(manifest),
            live: None,
            error_message: None,
        };
        let unique = format!("object/{kind}/{SYNC_SERVER}");
        let made = sentinel
            .node()
            .upsert_unique(&collection.owner(), unique, object)
            .await?;
        collection.insert(SYNC_SERVER, &made.reference())?;
    }
    Ok(())
}
