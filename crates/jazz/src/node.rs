//! The node: what a program holds to take part.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cojson::ids::{AccountId, SessionId};
use cojson::secrets::{AgentSecret, SecretSeed};
use cojson::{Credentials, Cx, WriteError as CoreError};
use futures::future::BoxFuture;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, LoadFailure, LocalConnection, NotSynced, OsEntropy};
use crate::error::{ConnectError, Error, WriteError};
use crate::storage::{Durability, SqliteStorage, Storage};
use crate::transport::Trust;

/// How long a load may take unless the builder says otherwise.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A node that acts for one account: it holds values, keeps them up to date with a sync server, and stores them.
///
/// Clones are the same node. It runs until the last clone, and everything loaded through it, is dropped, or until
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    driver: Driver,
    account_id: AccountId,
    load_timeout: Duration,
    /// Read-modify-write takes turns; a closure of one may contain another.
    updates: ReentrantMutex<()>,
    closed: CancellationToken,
    /// Keeps the connection to a server of this process.
    _local: Option<LocalConnection>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Node {
    /// Describes a node, to be started with [`connect`](NodeBuilder::connect).
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The account that the node acts for.
    pub fn account_id(&self) -> &AccountId {
        &self.0.account_id
    }

    /// What it takes to act for the account again, to be kept secret; `None` once the node has been
    /// [logged out](Self::log_out).
    pub fn credentials(&self) -> Option<Credentials> {
        self.core(|core, _| core.credentials())
    }

    /// Waits until the server has everything that was written here before, durably. What is written in the meantime isn't
    /// waited for. Without a server that never happens.
    pub async fn wait_for_sync(&self, within: Duration) -> Result<(), NotSynced> {
        self.0.driver.wait_for_sync(within).await
    }

    /// Waits until everything that was written here is in the node's own storage.
    pub async fn wait_for_storage(&self) {
        self.0.driver.wait_for_storage().await;
    }

    /// Waits until everything that was written here is durable: in the node's own storage if it has one, at the server
    /// otherwise.
    pub async fn wait_until_durable(&self, within: Duration) -> Result<(), NotSynced> {
        self.0.driver.wait_until_durable(within).await
    }

    /// Waits until a server is connected; `false` if none was in time.
    pub async fn connected(&self, within: Duration) -> bool {
        self.0.driver.connected(within).await
    }

    /// Whether a server is connected.
    pub fn is_connected(&self) -> bool {
        self.0.driver.is_connected()
    }

    /// Ends all subscriptions and connections, and returns when storage has everything. What was written before and
    /// not yet sent is sent when the same storage is used again; without storage, [wait](Self::wait_for_sync) first.
    pub async fn shutdown(&self) {
        self.0.closed.cancel();
        self.0.driver.shutdown().await;
    }

    /// Ends acting for the account, at once and for all clones: connections and subscriptions end, the account's secret and
    /// the keys of groups are wiped from memory, and what was read with them is dropped, but not overwritten. What the
    /// server doesn't have yet is lost, so [wait](Self::wait_for_sync) first if it matters.
    pub fn log_out(&self) {
        self.0.closed.cancel();
        self.0.driver.forget_everything();
    }

    /// The untyped node below.
    pub fn driver(&self) -> &Driver {
        &self.0.driver
    }

    /// Brings what makes the account usable for others into memory, and so to the server: it may have been made before
    /// there was one.
    fn introduce_account(&self) {
        let Ok(account) = self.account().get() else { return };
        let (driver, within) = (self.0.driver.clone(), self.0.load_timeout);
        let loads = async move {
            for id in [account.profile, account.root].into_iter().flatten() {
                // What isn't found here can't be introduced.
                let _ = driver.load(&id, within).await;
            }
        };
        tokio::spawn(self.0.closed.clone().run_until_cancelled_owned(loads));
    }

    pub(crate) fn load_timeout(&self) -> Duration {
        self.0.load_timeout
    }

    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.closed.clone().cancelled_owned()
    }

    pub(crate) fn lock_updates(&self) -> ReentrantMutexGuard<'_, ()> {
        self.0.updates.lock()
    }

    /// Runs a closure on the core.
    pub(crate) fn core<R>(&self, run: impl FnOnce(&mut cojson::Node, &mut Cx<'_>) -> R) -> R {
        self.0.driver.with(run)
    }

    /// Runs a command of the core.
    pub(crate) fn write<R>(
        &self,
        run: impl FnOnce(&mut cojson::Node, &mut Cx<'_>) -> Result<R, CoreError>,
    ) -> Result<R, WriteError> {
        self.core(|core, cx| {
            run(core, cx).map_err(|error| WriteError::from_core(error, core, self.account_id()))
        })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.account_id())
    }
}

/// A sync server in this process that keeps everything in memory: for tests and examples.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), jazz::Error> {
/// let server = jazz::LocalServer::new();
/// let ada = jazz::Node::builder().local_server(&server).create_account("Ada").connect().await?;
/// let bob = jazz::Node::builder().local_server(&server).create_account("Bob").connect().await?;
/// bob.load_account(ada.account_id()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalServer(Driver);

impl Default for LocalServer {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalServer {
    /// A server that holds nothing.
    pub fn new() -> Self {
        Self(Driver::new(cojson::Node::new(false)))
    }

    /// Connects a node until the connection is dropped. [`NodeBuilder::local_server`] does so for as long as the node
    /// lives.
    #[must_use = "dropping the connection disconnects"]
    pub fn connect(&self, node: &Node) -> LocalConnection {
        node.driver().connect_local(&self.0)
    }

    /// The untyped node below.
    pub fn driver(&self) -> &Driver {
        &self.0
    }
}

/// Describes a node.
#[derive(Default)]
#[must_use = "nothing happens before `connect`"]
pub struct NodeBuilder {
    server: Option<String>,
    authority: Option<PathBuf>,
    local_server: Option<LocalServer>,
    storage: Option<StorageChoice>,
    account: Option<AccountChoice>,
    load_timeout: Option<Duration>,
    migration: Option<Migration>,
}

/// Brings the data of an account up to date.
type Migration = Box<dyn FnOnce(Node) -> BoxFuture<'static, Result<(), Error>> + Send>;

enum StorageChoice {
    File(PathBuf),
    Other(Box<dyn Storage>),
}

enum AccountChoice {
    LogIn(Credentials),
    Create {
        secret: Option<AgentSecret>,
        name: String,
    },
    LogInOrCreate {
        credentials: Credentials,
        name: String,
    },
}

impl NodeBuilder {
    /// Keeps the node connected to the sync server at this `ws://` or `wss://` address. Without a server the node
    /// works offline.
    pub fn sync_server(mut self, url: impl Into<String>) -> Self {
        self.server = Some(url.into());
        self
    }

    /// Trusts the certificates in a PEM file too when it connects to a `wss://` address: an authority of one's own.
    pub fn certificate_authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.authority = Some(path.into());
        self
    }

    /// Connects the node to a server of this process.
    pub fn local_server(mut self, server: &LocalServer) -> Self {
        self.local_server = Some(server.clone());
        self
    }

    /// Stores everything in this file, which is made if it isn't there. Without storage, what the node holds is kept
    /// by the server alone.
    pub fn storage(mut self, path: impl Into<PathBuf>) -> Self {
        self.storage = Some(StorageChoice::File(path.into()));
        self
    }

    /// Stores everything in a storage of another kind.
    pub fn storage_with(mut self, storage: impl Storage) -> Self {
        self.storage = Some(StorageChoice::Other(Box::new(storage)));
        self
    }

    /// Acts for an account that exists.
    pub fn account(mut self, credentials: Credentials) -> Self {
        self.account = Some(AccountChoice::LogIn(credentials));
        self
    }

    /// Acts for an account, and makes it, with this name, if nobody knows it: one whose secret was chosen before there
    /// was a server to tell.
    pub fn account_or_create(mut self, credentials: Credentials, name: impl Into<String>) -> Self {
        self.account = Some(AccountChoice::LogInOrCreate {
            credentials,
            name: name.into(),
        });
        self
    }

    /// Makes a new account with this name. Its secret is in [`Node::credentials`].
    pub fn create_account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(AccountChoice::Create {
            secret: None,
            name: name.into(),
        });
        self
    }

    /// Makes the account of a secret; the account's id follows from it alone.
    pub fn create_account_of(mut self, secret: AgentSecret, name: impl Into<String>) -> Self {
        self.account = Some(AccountChoice::Create {
            secret: Some(secret),
            name: name.into(),
        });
        self
    }

    /// Runs this each time the node has logged in or made its account, before [`connect`](Self::connect) returns: to make
    /// the root of a new account, and to bring that of an old one up to date. It must do nothing where nothing is to do.
    ///
    /// ```
    /// # #[derive(jazz::CoMap)]
    /// # struct Settings { theme: String }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), jazz::Error> {
    /// let node = jazz::Node::builder()
    ///     .create_account("Ada")
    ///     .migration(async |node| {
    ///         if node.account().root_id().is_none() {
    ///             let group = node.create_group()?;
    ///             let root = node.create(&group, Settings { theme: "dark".into() })?;
    ///             node.account().set_root(root.id())?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .connect()
    ///     .await?;
    /// let root = node.account().root::<Settings>().await?.expect("made by the migration");
    /// assert_eq!(root.get()?.theme, "dark");
    /// # Ok(())
    /// # }
    /// ```
    pub fn migration<F, R>(mut self, migrate: F) -> Self
    where
        F: FnOnce(Node) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.migration = Some(Box::new(|node| Box::pin(migrate(node))));
        self
    }

    /// How long a load may take: 30 seconds unless said here.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = Some(timeout);
        self
    }

    /// Starts the node. Logging in waits for the account; making one doesn't wait for the server.
    pub async fn connect(self) -> Result<Node, ConnectError> {
        let account = self.account.ok_or(ConnectError::NoAccount)?;
        if let Some(url) = self.server.as_ref().filter(|url| !is_websocket(url)) {
            return Err(ConnectError::InvalidServer(url.clone()));
        }
        let trust = match &self.authority {
            Some(path) => Trust::with_authority(path)?,
            None => Trust::system(),
        };
        let has_storage = self.storage.is_some();
        let driver = match self.storage {
            None => Driver::new(cojson::Node::new(false)),
            Some(StorageChoice::Other(storage)) => Driver::with_storage(cojson::Node::new(true), storage)?,
            Some(StorageChoice::File(path)) => {
                let storage = SqliteStorage::open(&path, Durability::default())?;
                Driver::with_storage(cojson::Node::new(true), Box::new(storage))?
            }
        };
        let servers = usize::from(self.server.is_some()) + usize::from(self.local_server.is_some());
        driver.with(|node, _| node.note_for_servers(servers));
        if let Some(url) = self.server {
            driver.connect_websocket(url, trust);
        }
        let is_local = self.local_server.is_some();
        let local = self.local_server.map(|server| driver.connect_local(&server.0));
        let load_timeout = self.load_timeout.unwrap_or(LOAD_TIMEOUT);
        let account_id = account.act(&driver, load_timeout).await?.account_id;
        let node = Node(Arc::new(Inner {
            driver,
            account_id,
            load_timeout,
            updates: ReentrantMutex::new(()),
            closed: CancellationToken::new(),
            _local: local,
        }));
        if has_storage {
            node.introduce_account();
        }
        if let Some(migrate) = self.migration {
            let migrated = migrate(node.clone()).await;
            migrated.map_err(|error| ConnectError::Migration(Box::new(error)))?;
        }
        if is_local {
            // Within a process nobody should have to wait for an account that another node has just made. That the server
            // is slow is no error here.
            let _ = node.wait_for_sync(load_timeout).await;
        }
        Ok(node)
    }
}

impl AccountChoice {
    /// Makes the node act for the account.
    async fn act(self, driver: &Driver, within: Duration) -> Result<Credentials, ConnectError> {
        match self {
            Self::LogIn(credentials) => {
                log_in(driver, &credentials, within).await?;
                Ok(credentials)
            }
            Self::Create { secret, name } => {
                let secret =
                    secret.unwrap_or_else(|| AgentSecret::from_seed(&SecretSeed::random(&mut OsEntropy)));
                create(driver, secret, &name)
            }
            Self::LogInOrCreate { credentials, name } => match log_in(driver, &credentials, within).await {
                Ok(()) => Ok(credentials),
                Err(ConnectError::AccountNotFound(_)) => create(driver, credentials.agent_secret, &name),
                Err(error) => Err(error),
            },
        }
    }
}

async fn log_in(driver: &Driver, credentials: &Credentials, within: Duration) -> Result<(), ConnectError> {
    let account = &credentials.account_id;
    if Credentials::of(credentials.agent_secret.clone()).account_id != *account {
        return Err(ConnectError::WrongSecret(account.clone()));
    }
    driver
        .load(account.as_co_id(), within)
        .await
        .map_err(|failure| match failure {
            LoadFailure::Unavailable => ConnectError::AccountNotFound(account.clone()),
            LoadFailure::Timeout => ConnectError::Timeout(account.clone()),
        })?;
    driver
        .with(|core, cx| {
            // A new session each time: no other process uses it, and no crash has cut its tail.
            let session = SessionId::random(account.clone().into(), cx.rng);
            core.log_in(account, credentials.agent_secret.clone(), session)
        })
        .map_err(|_| ConnectError::WrongSecret(account.clone()))
}

fn create(driver: &Driver, secret: AgentSecret, name: &str) -> Result<Credentials, ConnectError> {
    driver.with(|core, cx| {
        let account = Credentials::of(secret.clone()).account_id;
        let created = core.create_account_of(cx, secret, name);
        created.map_err(|error| WriteError::from_core(error, core, &account).into())
    })
}

fn is_websocket(url: &str) -> bool {
    url.starts_with("ws://") || url.starts_with("wss://")
}
