//! The sync server of a scenario, in a process of its own, and what its database holds.

use std::fs;
use std::path::{Path, PathBuf};

use jazz::storage::Durability;
use jazz::{Credentials, Node};
use jazz_sync::{Server, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::process::{Child, Memory, Steps, tell};
use crate::stats::round;

/// What the server role is told.
#[derive(Serialize, Deserialize)]
pub struct ServerArgs {
    database: PathBuf,
    /// Survives a loss of power (`synchronous=FULL`), not only a crash (`NORMAL`).
    survives_power_loss: bool,
}

/// The role.
pub async fn role(args: ServerArgs) -> Result<(), Error> {
    let mut settings = Settings::new(args.database);
    settings.durability = match args.survives_power_loss {
        true => Durability::PowerLoss,
        false => Durability::ProcessCrash,
    };
    let server = Server::bind("127.0.0.1:0".parse()?, settings).await?;
    tell(&json!({"url": format!("ws://{}", server.address()?)}))?;
    let mut steps = Steps::listen();
    server.run(async move { steps.finished().await }).await?;
    Ok(())
}

/// A running server.
pub struct SyncServer {
    child: Child,
    /// Where it listens.
    pub url: String,
    database: PathBuf,
}

impl SyncServer {
    /// Starts a server as the peer's is set: what it acknowledged survives a crash of the process
    /// (`synchronous=NORMAL`).
    pub fn start(directory: &Path) -> Result<Self, Error> {
        Self::start_on(&directory.join("sync.db"), false)
    }

    /// Starts a server on this database.
    pub fn start_on(database: &Path, survives_power_loss: bool) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Up {
            url: String,
        }
        let args = ServerArgs {
            database: database.to_owned(),
            survives_power_loss,
        };
        let directory = database.parent().ok_or("the database is in no directory")?;
        let child = Child::start("server", &args, directory)?;
        let Up { url } = child.read()?;
        Ok(Self {
            child,
            url,
            database: database.to_owned(),
        })
    }

    /// Stops it and starts it again on the same database.
    pub fn restart(self) -> Result<Self, Error> {
        let database = self.database.clone();
        self.stop()?;
        Self::start_on(&database, false)
    }

    /// Stops it.
    pub fn stop(self) -> Result<(), Error> {
        self.child.stop()
    }

    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Resident memory.
    pub fn memory(&self) -> Result<Memory, Error> {
        self.child.memory()
    }

    /// What the database holds. The server keeps its file locked, so a copy is looked at.
    pub fn stored(&self) -> Result<Stored, Error> {
        let directory = tempfile::tempdir()?;
        let copy = directory.path().join("copy.db");
        fs::copy(&self.database, &copy)?;
        let log = |path: &Path| path.with_extension("db-wal");
        if log(&self.database).exists() {
            fs::copy(log(&self.database), log(&copy))?;
        }
        let database = rusqlite::Connection::open(&copy)?;
        let one = |query: &str| database.query_row(query, [], |row| row.get::<_, i64>(0));
        Ok(Stored {
            co_values: one("SELECT count(*) FROM covalues")?,
            sessions: one("SELECT count(*) FROM sessions")?,
            txs: one("SELECT count(*) FROM transactions")?,
            bytes: one("PRAGMA page_count")? * one("PRAGMA page_size")?,
        })
    }
}

/// What a database holds.
pub struct Stored {
    co_values: i64,
    sessions: i64,
    txs: i64,
    bytes: i64,
}

impl Stored {
    /// How much more this is than before, per so many calls.
    pub fn since(&self, before: &Self, calls: usize) -> Value {
        let per = |after: i64, before: i64| round((after - before) as f64 / calls as f64, 2);
        json!({
            "coValues": per(self.co_values, before.co_values),
            "sessions": per(self.sessions, before.sessions),
            "txs": per(self.txs, before.txs),
            "bytes": per(self.bytes, before.bytes),
        })
    }
}

/// An account, as it is handed to a role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountArgs {
    /// Its id.
    pub id: String,
    /// The secret of its agent.
    pub secret: String,
}

impl AccountArgs {
    /// Takes the account of a node.
    pub fn of(credentials: &Credentials) -> Self {
        Self {
            id: credentials.account_id.to_string(),
            secret: credentials.agent_secret.expose().to_owned(),
        }
    }

    /// Logs into the account.
    pub async fn connect(&self, url: &str) -> Result<Node, Error> {
        let credentials = Credentials {
            account_id: self.id.parse()?,
            agent_secret: self.secret.parse()?,
        };
        Ok(Node::builder()
            .sync_server(url)
            .account(credentials)
            .connect()
            .await?)
    }
}

/// Arguments of the role that makes accounts.
#[derive(Serialize, Deserialize)]
pub struct AccountsArgs {
    url: String,
    count: usize,
}

/// The role that makes accounts.
pub async fn accounts_role(args: AccountsArgs) -> Result<(), Error> {
    let mut accounts = Vec::new();
    for number in 0..args.count {
        let name = format!("w{number}");
        accounts.push(create_account(&args.url, &name).await?);
    }
    tell(&accounts)
}

/// Makes accounts in a process of its own, which has ended by then.
pub fn accounts(server: &SyncServer, count: usize, directory: &Path) -> Result<Vec<AccountArgs>, Error> {
    let args = AccountsArgs {
        url: server.url.clone(),
        count,
    };
    let child = Child::start("accounts", &args, directory)?;
    let accounts = child.read()?;
    child.stop()?;
    Ok(accounts)
}

/// Makes an account that the server has.
pub async fn create_account(url: &str, name: &str) -> Result<AccountArgs, Error> {
    let node = Node::builder()
        .sync_server(url)
        .create_account(name)
        .connect()
        .await?;
    node.wait_for_sync(SYNC_TIMEOUT).await?;
    let account = AccountArgs::of(&node.credentials().ok_or("the node was logged out")?);
    node.shutdown().await;
    Ok(account)
}

/// How long the server may take to confirm.
pub const SYNC_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(300);
