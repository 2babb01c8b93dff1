//! What can go wrong, by what a caller can do about it.

use std::borrow::Cow;
use std::fmt;

use cojson::content::ContentError;
use cojson::group::Role;
use cojson::ids::{AccountId, CoId, KeyId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::driver::NotSynced;
use crate::file::FileError;
use crate::storage::StorageError;
use crate::transport::TrustError;

/// The content of a value doesn't fit its Rust type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    pub(crate) id: Option<CoId>,
    pub(crate) type_name: Cow<'static, str>,
    pub(crate) path: String,
    pub(crate) problem: String,
}

impl SchemaError {
    pub(crate) fn new(
        type_name: impl Into<Cow<'static, str>>,
        path: impl Into<String>,
        problem: impl fmt::Display,
    ) -> Self {
        Self {
            id: None,
            type_name: type_name.into(),
            path: path.into(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn of(mut self, id: &CoId) -> Self {
        self.id.get_or_insert_with(|| id.clone());
        self
    }

    /// The value that was read.
    pub fn id(&self) -> Option<&CoId> {
        self.id.as_ref()
    }

    /// Where in the value: the name of a field, the key of a record or the index of a list, and the way from there on, as
    /// in `places.3.name`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Reads a stored value. An error names the place in it, and what was expected there.
pub(crate) fn read_json<V: DeserializeOwned>(
    type_name: &'static str,
    path: impl FnOnce() -> String,
    value: &Value,
) -> Result<V, SchemaError> {
    V::deserialize(value).map_err(|error| {
        let mut path = path();
        let problem = match serde_path_to_error::deserialize::<_, V>(value) {
            Ok(_) => error,
            Err(error) => {
                for segment in error.path() {
                    match segment {
                        Segment::Seq { index } => path.push_str(&format!(".{index}")),
                        Segment::Map { key } => path.push_str(&format!(".{key}")),
                        Segment::Enum { .. } | Segment::Unknown => {}
                    }
                }
                error.into_inner()
            }
        };
        SchemaError::new(type_name, path, problem)
    })
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.type_name, self.path)?;
        if let Some(id) = &self.id {
            write!(f, " of {id}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for SchemaError {}

/// A value can't be had or can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Neither storage nor a connected server has it.
    #[error("{0} was not found")]
    Unavailable(CoId),
    /// It is there, but our account has no role in the group that owns it.
    #[error("{0} may not be read by this account")]
    Unauthorised(CoId),
    /// It was deleted.
    #[error("{0} was deleted")]
    Deleted(CoId),
    /// It didn't come in time: the server is slow or can't be reached.
    #[error("{0} did not come in time")]
    Timeout(CoId),
    /// It is another kind of value than was asked for.
    #[error("{id} is not a {expected}")]
    WrongKind {
        /// The value.
        id: CoId,
        /// What was asked for.
        expected: &'static str,
    },
    /// Its content doesn't fit the type.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Its content is from an older version and could not be brought up to date.
    #[error("{id} could not be migrated: {reason}")]
    Migration {
        /// The value.
        id: CoId,
        /// What the migration says.
        reason: String,
    },
}

impl From<ContentError> for LoadError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::NotLoaded(id) => Self::Unavailable(id),
            ContentError::WrongKind(id, expected) => Self::WrongKind { id, expected },
            ContentError::Deleted(id) => Self::Deleted(id),
        }
    }
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Our account's role doesn't permit it.
    #[error("{account} may not do this in {owner} ({})", role.map_or("no role", Role::as_str))]
    NotAllowed {
        /// Our account.
        account: AccountId,
        /// The group (or account) that decides.
        owner: CoId,
        /// Our role there.
        role: Option<Role>,
    },
    /// The value can't be had, or its present content can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What was to be written doesn't fit JSON.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The list has no such position.
    #[error("position {index} of a list of {len} items")]
    OutOfBounds {
        /// The position.
        index: usize,
        /// How long the list is.
        len: usize,
    },
    /// One transaction holds a megabyte of JSON at most.
    #[error("{0} bytes are too much for one transaction")]
    TooLarge(usize),
    /// There is a value with these unique marks already.
    #[error("{0} exists already")]
    Exists(CoId),
    /// The secret of a key is out of reach: the group's members have handed it to us in no way.
    #[error("the secret of {key} of {group} is out of reach")]
    NoKey {
        /// The group.
        group: CoId,
        /// The key.
        key: KeyId,
    },
    /// The group has no key to write with: it is damaged or not completely here.
    #[error("{0} has no read key")]
    NoReadKey(CoId),
    /// What the server gave of the value lacks writes of ours that it had confirmed.
    #[error("{0} was loaded without all that we have written to it")]
    Rewound(CoId),
    /// A group can't have itself, one that leads back to it, or an account as a parent.
    #[error("{0} can't be a parent here")]
    InvalidParent(CoId),
    /// Everybody can be reader, writer or write-only.
    #[error("everybody can't be {0}")]
    InvalidEveryoneRole(Role),
    /// The closure of a transaction gave up.
    #[error("the transaction was given up: {0}")]
    Aborted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl WriteError {
    /// Gives up a transaction.
    pub fn aborted(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Aborted(reason.into())
    }

    /// What the core says, with what its caller knows.
    pub(crate) fn from_core(error: cojson::WriteError, core: &mut cojson::Node, account: &AccountId) -> Self {
        use cojson::WriteError as Core;
        match error {
            Core::NotLoggedIn | Core::WrongSecret => {
                Self::not_allowed(core, account, account.as_co_id().clone())
            }
            Core::NotAllowed(owner) => Self::not_allowed(core, account, owner),
            Core::Content(error) => Self::Load(error.into()),
            Core::NoKey { group, key } => Self::NoKey { group, key },
            Core::NoReadKey(group) => Self::NoReadKey(group),
            Core::TooLarge(bytes) => Self::TooLarge(bytes),
            Core::Exists(id) => Self::Exists(id),
            Core::Rewound(id) => Self::Rewound(id),
            Core::InvalidParent(id) => Self::InvalidParent(id),
        }
    }

    fn not_allowed(core: &mut cojson::Node, account: &AccountId, owner: CoId) -> Self {
        let role = core.role_of(account, &owner);
        Self::NotAllowed {
            account: account.clone(),
            owner,
            role,
        }
    }
}

/// A node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The builder was told neither to log in nor to make an account.
    #[error("no account was given")]
    NoAccount,
    /// The secret belongs to another account.
    #[error("the secret does not belong to the account {0}")]
    WrongSecret(AccountId),
    /// Neither storage nor the server knows the account.
    #[error("the account {0} was not found")]
    AccountNotFound(AccountId),
    /// The account didn't come in time: the server is slow or can't be reached.
    #[error("the account {0} did not come in time")]
    Timeout(AccountId),
    /// The address of a sync server begins with `ws://` or `wss://`.
    #[error("`{0}` is not the address of a sync server")]
    InvalidServer(String),
    /// The certificates of the authority to trust can't be had.
    #[error("cannot use the certificates of an authority")]
    Authority(#[from] TrustError),
    /// Storage can't be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The thread for storage can't be started.
    #[error("the thread for storage can't be started")]
    Thread(#[from] std::io::Error),
    /// The account can't be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The account's data could not be brought up to date.
    #[error("the account could not be migrated")]
    Migration(#[source] Box<Error>),
}

/// Any error of this crate, for functions in which several kinds meet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value can't be had or can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Nothing was written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A node could not be started.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Writes were not confirmed in time.
    #[error(transparent)]
    NotSynced(#[from] NotSynced),
    /// A file was not written or read to its end.
    #[error(transparent)]
    File(#[from] FileError),
}
