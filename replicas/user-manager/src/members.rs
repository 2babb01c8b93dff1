//! The users, loaded.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jazz::LoadError;
use reside::prelude::*;
use user_manager_v1::{GrantedPermission, User, UserId};

/// How many users are loaded at once.
const LOADS_MAX: usize = 32;

/// A user with its permission sets.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its record.
    pub handle: Co<User>,
    /// What the record says.
    pub user: User,
    /// What was granted to it.
    pub sets: Co<CoRecord<GrantedPermission>>,
}

/// All users, found by number and by account.
#[derive(Default)]
pub struct Members {
    by_id: BTreeMap<UserId, Member>,
    by_account: HashMap<AccountId, UserId>,
}

impl Member {
    /// Loads a user.
    pub async fn load(handle: Co<User>) -> Result<Self, LoadError> {
        let user = handle.get()?;
        let sets = handle.node().load(&user.permission_sets).await?;
        Ok(Self { handle, user, sets })
    }
}

impl Members {
    /// Loads all users.
    pub async fn load(users: &Co<CoRecord<Ref<User>>>) -> Result<Self, LoadError> {
        let node = users.node();
        let loads = users
            .entries()?
            .into_values()
            .map(|user| async move { Member::load(node.load(&user).await?).await });
        let loaded: Vec<Member> = stream::iter(loads)
            .buffer_unordered(LOADS_MAX)
            .try_collect()
            .await?;
        let mut members = Self::default();
        for member in loaded {
            members.insert(member);
        }
        Ok(members)
    }

    /// Adds a user.
    pub fn insert(&mut self, member: Member) {
        self.by_account
            .insert(member.user.account.clone(), member.user.id);
        self.by_id.insert(member.user.id, member);
    }

    /// Finds a user by its number.
    pub fn by_id(&self, id: UserId) -> Option<&Member> {
        self.by_id.get(&id)
    }

    /// Finds a user by its account.
    pub fn by_account(&self, account: &AccountId) -> Option<&Member> {
        self.by_id.get(self.by_account.get(account)?)
    }

    /// All users.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The number of the next user. Users are never removed, so none is used twice.
    pub fn next_id(&self) -> UserId {
        self.by_id.last_key_value().map_or(1, |(last, _)| last + 1)
    }
}
