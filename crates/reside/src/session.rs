//! Acting for an account that isn't the replica's own: making accounts, and being logged into one for a while.

use std::{fmt, sync::Arc, time::Duration};

use jazz::{AccountId, ConnectError, Credentials, LocalServer, Node, NodeBuilder, NotSynced};

use crate::{
    clock::Clock,
    config::AccessContext,
    contract::Contract,
    directory::NodeDirectory,
    provider::{Connector, Provider},
    requirement::{Requirement, RequirementError},
    rpc::{RpcClient, Transport},
};

/// How long the sync server may take to confirm.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);

/// The sync server of the cluster, for nodes of this process.
#[derive(Clone)]
pub enum SyncServer {
    /// Reached over WebSocket at this address.
    Url(String),
    /// In this process, as in the cluster in memory.
    Local(LocalServer),
}

/// Why an account can't be made or acted for.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It can't be made or logged in.
    #[error("the account can't be used")]
    Connect(#[from] ConnectError),
    /// The sync server has not confirmed what was written.
    #[error(transparent)]
    NotSynced(#[from] NotSynced),
}

impl SyncServer {
    /// Describes a node that is connected to the server.
    pub fn node(&self) -> NodeBuilder {
        match self {
            Self::Url(url) => Node::builder().sync_server(url),
            Self::Local(server) => Node::builder().local_server(server),
        }
    }
}

impl From<String> for SyncServer {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<LocalServer> for SyncServer {
    fn from(server: LocalServer) -> Self {
        Self::Local(server)
    }
}

/// What sessions of other accounts are made with.
pub(crate) struct Sessions {
    pub(crate) sync_server: SyncServer,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) access: AccessContext,
    pub(crate) clock: Clock,
}

impl Sessions {
    pub(crate) async fn create_account(&self, name: &str) -> Result<Credentials, SessionError> {
        let node = self.sync_server.node().create_account(name).connect().await?;
        let credentials = node.credentials();
        let synced = node.wait_for_sync(SYNC_TIMEOUT).await;
        node.log_out();
        synced?;
        Ok(credentials.expect("the node was not logged out before"))
    }

    pub(crate) async fn log_in(&self, credentials: Credentials) -> Result<Session, SessionError> {
        let (account, secret) = (credentials.account_id.clone(), credentials.agent_secret.clone());
        let node = self.sync_server.node().account(credentials).connect().await?;
        let directory = Arc::new(NodeDirectory::new(node.clone()));
        let rpc = RpcClient::new(account, secret, directory, self.transport.clone());
        let connector = Connector::new(node.clone(), rpc.clone(), self.access, self.clock);
        Ok(Session { node, rpc, connector })
    }
}

/// Being logged into an account. When it is dropped, in whatever way that comes about, the account is logged out: its keys
/// are wiped, and nothing that was made with the session, however it was kept, reads, writes or calls any more.
pub struct Session {
    node: Node,
    rpc: RpcClient,
    connector: Connector,
}

impl Session {
    /// Returns the account.
    pub fn account_id(&self) -> &AccountId {
        self.node.account_id()
    }

    /// Returns the node that is logged into the account.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns what uses replicas in the name of the account.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Returns the replica that serves a requirement of ours, as this account sees it.
    pub fn provider<C: Contract>(
        &self,
        requirement: &Requirement<C>,
    ) -> Result<Provider<C>, RequirementError> {
        let account = requirement.provider()?.account().clone();
        Ok(self.connector.provider(account))
    }

    /// Returns a client that calls the replica that serves a requirement of ours in the name of this account.
    pub fn client<C: Contract>(&self, requirement: &Requirement<C>) -> Result<C::Client, RequirementError> {
        Ok(self.provider(requirement)?.client())
    }

    /// Waits until the sync server has what was written.
    pub async fn sync(&self) -> Result<(), NotSynced> {
        self.node.wait_for_sync(SYNC_TIMEOUT).await
    }

    /// Logs out at once, whoever else still holds the session. What the server doesn't have by then is lost.
    pub fn end(&self) {
        self.rpc.log_out();
        self.node.log_out();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.account_id())
    }
}
