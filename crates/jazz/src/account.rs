//! Accounts: a public profile and a private root.

use cojson::ids::{AccountId, CoId};

use crate::error::{LoadError, SchemaError, WriteError};
use crate::load::Child;
use crate::map::CoMap;
use crate::node::Node;
use crate::value::{Co, CoValue, Raw, Ref, Shape};

/// What an account refers to. `Co<Account>` is a loaded account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its public part: a map with at least a `name`.
    pub profile: Option<CoId>,
    /// Its private part, if it has one.
    pub root: Option<CoId>,
}

impl CoValue for Account {
    type Snapshot = Self;

    const SHAPE: Shape = Shape::Account;

    fn snapshot(raw: Raw<'_>) -> Result<Self, SchemaError> {
        match raw {
            Raw::Group(view, at) => {
                let id = |key| view.get_at(key, at)?.as_str()?.parse().ok();
                Ok(Self {
                    profile: id("profile"),
                    root: id("root"),
                })
            }
            _ => Err(SchemaError::new("Account", "", "not an account")),
        }
    }

    /// What profile and root are, only their users know.
    fn children(_: Raw<'_>) -> Result<Vec<Child>, SchemaError> {
        Ok(Vec::new())
    }
}

impl Co<Account> {
    /// The account's id.
    pub fn account_id(&self) -> AccountId {
        self.id().clone().into()
    }

    /// What the account refers to now.
    pub fn get(&self) -> Result<Account, LoadError> {
        self.read(Account::snapshot)
    }

    /// The id of the profile.
    pub fn profile_id(&self) -> Option<CoId> {
        self.get().ok()?.profile
    }

    /// The id of the root.
    pub fn root_id(&self) -> Option<CoId> {
        self.get().ok()?.root
    }

    /// Loads the profile as the struct you know it by.
    pub async fn profile<P: CoMap>(&self) -> Result<Co<P>, LoadError> {
        let profile = self.get()?.profile;
        let missing = || SchemaError::new("Account", "profile", "the account has no profile").of(self.id());
        self.node().load(&Ref::new(profile.ok_or_else(missing)?)).await
    }

    /// Loads the root as the struct you know it by, if there is one.
    pub async fn root<R: CoMap>(&self) -> Result<Option<Co<R>>, LoadError> {
        match self.get()?.root {
            Some(root) => self.node().load(&Ref::new(root)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes a map the profile. Only the account itself can; the map's group should let everybody read.
    pub fn set_profile(&self, profile: &CoId) -> Result<(), WriteError> {
        self.set("profile", profile)
    }

    /// Makes a map the root. Only the account itself can.
    pub fn set_root(&self, root: &CoId) -> Result<(), WriteError> {
        self.set("root", root)
    }

    fn set(&self, key: &str, id: &CoId) -> Result<(), WriteError> {
        if self.account_id() != *self.node().account_id() {
            let (account, owner) = (self.node().account_id().clone(), self.id().clone());
            return Err(WriteError::NotAllowed {
                account,
                owner,
                role: None,
            });
        }
        self.node().write(|core, cx| core.set_account_key(cx, key, id))
    }
}

impl Node {
    /// Our account.
    pub fn account(&self) -> Co<Account> {
        let id = self.account_id().as_co_id();
        Co::new(self, id.clone(), id.clone())
    }

    /// Loads an account.
    pub async fn load_account(&self, id: &AccountId) -> Result<Co<Account>, LoadError> {
        self.load(&Ref::from(id.clone())).await
    }

    /// Loads our profile as the struct you know it by.
    pub async fn profile<P: CoMap>(&self) -> Result<Co<P>, LoadError> {
        self.account().profile().await
    }
}
