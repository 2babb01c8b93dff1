//! Acting in a cluster: logged in as an account, with Alpha at hand.

use std::sync::Arc;
use std::time::Duration;

use alpha_v1::{AlphaClient, AlphaContract, AlphaData, ReplicaRecord};
use jazz::{AccountId, Co, CoValue, ConnectError, Node, Ref};
use reside::config::AccessContext;
use reside::rpc::{HttpTransport, RpcClient};
use reside::{CallError, Clock, Connector, Contract, Identity, NodeDirectory, Permission, Provider};
use serde_json::Value;

use super::explain;
use super::selector::ReplicaSelector;
use super::sync_server::SyncServer;
use super::target::Target;
use crate::cli::App;
use crate::config::Cluster;
use crate::error::CommandError;
use crate::secrets;

/// How long anything may take to load.
const LOAD_TIME: Duration = Duration::from_secs(15);
/// How long writes may take to arrive.
const SYNC_TIME: Duration = Duration::from_secs(15);

/// A connection to a cluster. Ends when it is dropped.
pub struct Session {
    target: Target,
    node: Node,
    connector: Connector,
    data: Co<AlphaData>,
}

impl Session {
    /// Connects to the cluster that the options mean, as the account that they mean.
    pub async fn open(app: &App) -> Result<Self, CommandError> {
        let target = Target::resolve(app)?;
        Self::open_target(app, target).await
    }

    /// Connects to a cluster as an account. A cluster that doesn't know the account yet learns of it.
    pub async fn open_target(app: &App, target: Target) -> Result<Self, CommandError> {
        let Target { cluster, account } = &target;
        let server = reach(cluster).await?;
        let credentials = secrets::decrypt(&app.ui, &app.paths, account)?;
        let (own, secret) = (credentials.account_id.clone(), credentials.agent_secret.clone());
        let node = Node::builder()
            .sync_server(server.to_string())
            .account_or_create(credentials, account.name.as_str())
            .load_timeout(LOAD_TIME)
            .connect()
            .await
            .map_err(|error| cannot_connect(cluster, error))?;
        let directory = Arc::new(NodeDirectory::new(node.clone()));
        let rpc = RpcClient::new(own, secret, directory, Arc::new(HttpTransport::default()));
        let connector = Connector::new(node.clone(), rpc, AccessContext::External, Clock::System);
        let alpha = connector.provider::<AlphaContract>(cluster.alpha_replica_id.clone());
        let data = alpha.data().await.map_err(|why| {
            CommandError::failed(format!("cannot find Alpha in the cluster `{}`", cluster.name))
                .because(why)
                .help(format!(
                    "`reside cluster info {}` tells how the cluster is doing",
                    cluster.name
                ))
        })?;
        let session = Self {
            node,
            connector,
            data,
            target,
        };
        session.sync().await?;
        Ok(session)
    }

    /// The cluster and the account.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The name of the account.
    pub fn account(&self) -> &str {
        self.target.account.name.as_str()
    }

    /// The node that is logged in.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What Alpha publishes.
    pub fn data(&self) -> &Co<AlphaData> {
        &self.data
    }

    /// What Alpha publishes, as it is now.
    pub fn alpha_data(&self) -> Result<AlphaData, CommandError> {
        self.data
            .get()
            .map_err(|why| CommandError::failed("cannot read what Alpha publishes").because(why))
    }

    /// A replica as an implementation of a contract.
    pub fn provider<C: Contract>(&self, account: AccountId) -> Provider<C> {
        self.connector.provider(account)
    }

    /// What uses replicas in the name of the account.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Calls Alpha.
    pub fn alpha(&self) -> AlphaClient {
        self.connector
            .provider::<AlphaContract>(self.target.cluster.alpha_replica_id.clone())
            .client()
    }

    /// Explains why Alpha did not do something.
    pub fn alpha_refused(&self) -> impl FnOnce(CallError) -> CommandError {
        |error| explain::call(error, "alpha", self.account())
    }

    /// Loads something that a permission of Alpha opens.
    pub async fn load<P, T>(&self, what: &str, reference: &Ref<T>) -> Result<Co<T>, CommandError>
    where
        P: Permission<Contract = AlphaContract>,
        T: CoValue,
    {
        self.node
            .load(reference)
            .await
            .map_err(|error| self.cannot_load::<P>(error, what))
    }

    /// Explains why something that a permission of Alpha opens can't be read.
    pub fn cannot_load<P>(&self, error: jazz::LoadError, what: &str) -> CommandError
    where
        P: Permission<Contract = AlphaContract>,
    {
        explain::load(error, what, &AlphaContract::identity(), P::NAME, self.account())
    }

    /// Finds a replica that hasn't been unloaded.
    pub async fn replica(&self, selector: &ReplicaSelector) -> Result<ReplicaRecord, CommandError> {
        let found = match selector {
            ReplicaSelector::Id(id) => alpha_v1::replica_by_id(&self.data, *id).await,
            ReplicaSelector::Name(name) => alpha_v1::replica_by_name(&self.data, name).await,
        };
        let found = match found {
            Ok(Some(replica)) => Some(replica.get().map_err(|why| {
                CommandError::failed(format!("cannot read the record of the replica `{selector}`"))
                    .because(why)
            })?),
            Ok(None) => None,
            Err(error) => return Err(self.cannot_load::<alpha_v1::ReadReplicas>(error, "the replicas")),
        };
        found
            .filter(|replica| replica.unloaded_at.is_none())
            .ok_or_else(|| {
                CommandError::failed(format!("there is no replica `{selector}`"))
                    .help("`reside replica list` shows those that are loaded")
            })
    }

    /// Calls a method by names.
    pub async fn call(
        &self,
        replica: &ReplicaRecord,
        contract: &Identity,
        method: &str,
        request: &Value,
    ) -> Result<Value, CommandError> {
        let name = &replica.name;
        let error = match self
            .connector
            .call(&replica.account, contract, method, request)
            .await
        {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if matches!(error, CallError::Unanswered(_)) && self.is_disabled(replica).await {
            return Err(CommandError::failed(format!("`{name}` is disabled"))
                .help(format!("`reside replica enable {name}` starts it")));
        }
        Err(explain::call(error, name, self.account()))
    }

    /// Tells whether somebody has disabled a replica; if that can't be found out, nobody has.
    async fn is_disabled(&self, replica: &ReplicaRecord) -> bool {
        let management = self.node.load(&replica.management).await.ok();
        let management = management.and_then(|management| management.get().ok());
        management.is_some_and(|management| !management.enabled)
    }

    /// Waits until the cluster has everything that was written here.
    pub async fn sync(&self) -> Result<(), CommandError> {
        self.node.wait_for_sync(SYNC_TIME).await.map_err(|why| {
            CommandError::failed("the cluster has not confirmed the change")
                .because(why)
                .help("try again")
        })
    }
}

/// Finds the cluster's sync server.
async fn reach(cluster: &Cluster) -> Result<SyncServer, CommandError> {
    let endpoint = &cluster.endpoint;
    let server = SyncServer::of_cluster(endpoint)
        .map_err(|_| CommandError::failed(format!("`{endpoint}` is not the endpoint of a cluster")))?;
    server.reach().await.map_err(|why| {
        let what = format!("the cluster `{}` does not answer at {endpoint}", cluster.name);
        let help = format!("start it with `reside up {} --detach`", cluster.name);
        CommandError::failed(what).because(why).help(help)
    })?;
    Ok(server)
}

fn cannot_connect(cluster: &Cluster, error: ConnectError) -> CommandError {
    CommandError::failed(format!("cannot log into the cluster `{}`", cluster.name))
        .because(error)
        .help(format!(
            "`reside cluster info {}` tells how the cluster is doing",
            cluster.name
        ))
}
