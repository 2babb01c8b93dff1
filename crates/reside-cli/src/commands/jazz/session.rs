//! Logged into a sync server, and nothing else: there need not be a cluster.

use std::time::Duration;

use clap::Args;
use jazz::{AnyValue, CoId, ConnectError, FileError, Group, LoadError, Node, WriteError};

use crate::cli::App;
use crate::cluster::sync_server::SyncServer;
use crate::cluster::target;
use crate::config::{Account, Config};
use crate::error::CommandError;
use crate::names::Name;
use crate::secrets;

/// How long a value may take to come.
pub const LOAD_TIME: Duration = Duration::from_secs(15);
/// How long writes may take to arrive.
const SYNC_TIME: Duration = Duration::from_secs(30);

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub struct SessionArgs {
    /// Sync server to use instead of the cluster's
    #[arg(long, global = true, value_name = "URL")]
    server: Option<SyncServer>,

    /// Account to act as instead of the context's
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "as")]
    account: Option<Name>,
}

impl SessionArgs {
    /// Finds the server that is meant.
    pub fn server(&self, app: &App) -> Result<SyncServer, CommandError> {
        if let Some(server) = &self.server {
            return Ok(server.clone());
        }
        let config = Config::load(&app.paths)?;
        let cluster = target::cluster(&config, &app.globals, None)
            .map_err(|error| error.help("name a sync server with `--server URL`"))?;
        SyncServer::of_cluster(&cluster.endpoint).map_err(|_| {
            CommandError::failed(format!("`{}` is not the endpoint of a cluster", cluster.endpoint))
        })
    }

    /// Finds the account that is meant.
    fn account(&self, app: &App) -> Result<Account, CommandError> {
        let mut globals = app.globals.clone();
        globals.account = self.account.clone().or(globals.account);
        Ok(target::account(&Config::load(&app.paths)?, &globals)?.clone())
    }

    /// The same with another account.
    pub fn with_account(&self, name: &Name) -> Self {
        Self {
            server: self.server.clone(),
            account: Some(name.clone()),
        }
    }
}

/// A connection to a sync server. Ends when it is dropped.
pub struct Session {
    node: Node,
    server: SyncServer,
    account: Account,
}

impl Session {
    /// Connects. A server that doesn't know the account yet learns of it.
    pub async fn open(app: &App, args: &SessionArgs) -> Result<Self, CommandError> {
        let (server, account) = (args.server(app)?, args.account(app)?);
        reach(&server).await?;
        let credentials = secrets::decrypt(&app.ui, &app.paths, &account)?;
        let node = Node::builder()
            .sync_server(server.to_string())
            .account_or_create(credentials, account.name.as_str())
            .load_timeout(LOAD_TIME)
            .connect()
            .await
            .map_err(|error| cannot_connect(&server, error))?;
        let session = Self {
            node,
            server,
            account,
        };
        session.sync().await?;
        Ok(session)
    }

    /// The node that is logged in.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The server.
    pub fn server(&self) -> &SyncServer {
        &self.server
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Loads a value of any kind.
    pub async fn load(&self, id: &CoId) -> Result<AnyValue, CommandError> {
        let loaded = self.node.load_any(id).await;
        loaded.map_err(|error| self.cannot_load(error))
    }

    /// Loads a group.
    pub async fn group(&self, id: &CoId) -> Result<Group, CommandError> {
        let loaded = self.node.load_group(id).await;
        loaded.map_err(|error| self.cannot_load(error))
    }

    /// Waits until the server has everything that was written here.
    pub async fn sync(&self) -> Result<(), CommandError> {
        self.node.wait_for_sync(SYNC_TIME).await.map_err(|why| {
            CommandError::failed(format!("{} has not confirmed the change", self.server))
                .because(why)
                .help("try again")
        })
    }

    /// Explains why something can't be had.
    pub fn cannot_load(&self, error: LoadError) -> CommandError {
        let what = error.to_string();
        match error {
            LoadError::Unavailable(_) => CommandError::failed(what)
                .because(format!("{} does not have it", self.server))
                .help("check the id; another server is named with `--server URL`"),
            LoadError::Unauthorised(id) => self.no_role(
                format!("the account `{}` may not read {id}", self.account.name),
                &self.owner_of(&id),
                "reader",
            ),
            LoadError::Timeout(_) => CommandError::failed(what)
                .because(format!("{} is slow, or no Jazz sync server", self.server))
                .help("try again, or name another server with `--server URL`"),
            LoadError::WrongKind { id, .. } => {
                CommandError::failed(what).help(format!("`reside jazz get {id}` tells what it is"))
            }
            _ => CommandError::failed(what),
        }
    }

    /// Explains why something can't be written.
    pub fn cannot_write(&self, error: WriteError) -> CommandError {
        match error {
            WriteError::Load(error) => self.cannot_load(error),
            WriteError::NotAllowed { owner, role, .. } => {
                let what = format!("the account `{}` may not do this", self.account.name);
                match role {
                    None => self.no_role(what, &owner, "writer"),
                    Some(role) => CommandError::failed(what)
                        .because(format!("it is {role} in the group {owner}"))
                        .help(format!(
                            "`reside jazz group members {owner}` shows who may do more"
                        )),
                }
            }
            error => CommandError::failed(error.to_string()),
        }
    }

    /// Explains why a file can't be written or read.
    pub fn cannot_transfer(&self, error: FileError) -> CommandError {
        match error {
            FileError::Io(why) => CommandError::failed("cannot read or write the file").because(why),
            FileError::Load(error) => self.cannot_load(error),
            FileError::Write(error) => self.cannot_write(error),
            FileError::Complete(id) => CommandError::failed(format!("{id} is complete already"))
                .help("leave out `--into` to make another file"),
        }
    }

    fn no_role(&self, what: String, group: &CoId, role: &str) -> CommandError {
        let account = &self.account.account_id;
        CommandError::failed(what)
            .because(format!("it has no role in the group {group}"))
            .help(format!(
                "an admin of the group gives it one with `reside jazz group add {group} {account} {role}`"
            ))
    }

    fn owner_of(&self, id: &CoId) -> CoId {
        let owner = |core: &mut cojson::Node| core.log(id)?.header().owner().cloned();
        let owner = self.node.driver().with(|core, _| owner(core));
        owner.unwrap_or_else(|| id.clone())
    }
}

/// Finds out at once whether the server is there.
pub async fn reach(server: &SyncServer) -> Result<(), CommandError> {
    server.reach().await.map_err(|why| {
        CommandError::failed(format!("the sync server {server} does not answer"))
            .because(why)
            .help("`reside sync` runs one; another one is named with `--server URL`")
    })
}

fn cannot_connect(server: &SyncServer, error: ConnectError) -> CommandError {
    let failed = CommandError::failed(format!("cannot log in at {server}"));
    match error {
        ConnectError::Timeout(_) => failed
            .because(error)
            .help("check that this is the address of a Jazz sync server"),
        _ => failed.because(error),
    }
}

/// The command does not go with such a value. `fitting` says with which it does.
pub fn wrong_kind(value: &AnyValue, fitting: &str) -> CommandError {
    let (id, kind) = (value.id(), value.kind());
    CommandError::failed(format!("{id} is no {fitting}")).because(format!("it is a {kind}"))
}
