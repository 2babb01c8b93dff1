//! What a replica needs that has users of its own, or acts for users of somebody else's.

use std::sync::Arc;

use jazz::{AgentSecret, Co, CoId, Credentials, LoadError, Ref};
use reside::prelude::*;
use reside::{RequirementBuilder, Session};

use crate::{
    CreateUser, CreateUsers, DefineRealm, FindRealm, ImpersonateUsers, ManageRealm, ReadRealmUsers, Realm,
    User, UserCredentials, UserId, UserManagerContract,
};

/// A realm that a replica uses; a constant of its code. Made by [`define_realm`] or [`use_realm`].
#[derive(Clone, Debug)]
pub struct RealmDefinition {
    name: String,
    /// Texts of a realm of our own.
    display_info: Option<DisplayInfo>,
}

/// Describes a realm of the replica's own, in which it creates users and acts as them. The name may hold
/// `{replica.name}`.
///
/// ```no_run
/// use reside::prelude::*;
/// use user_manager_v1::{RealmDefinition, UserManagerContract, define_realm};
///
/// fn guests() -> RealmDefinition {
///     define_realm("guests", DisplayInfo::default().with("en", "Guests", "Who came by"))
/// }
///
/// fn definition() -> ReplicaDefinition {
///     ReplicaDefinition::new("ghcr.io/me/replicas/hotel", Info::long_running("hotel"))
///         .en("Hotel", "Receives guests")
///         .requires::<UserManagerContract>("users", |users| guests().permissions(users))
/// }
///
/// async fn run(replica: Replica) -> RunResult {
///     let guests = guests().init(&replica, &replica.requirement("users")?).await?;
///     let ada = guests.create_user("Ada").await?;
///     guests
///         .impersonate(&ada, async |account| Ok(println!("now I am {}", account.account_id())))
///         .await
/// }
/// ```
pub fn define_realm(name: &str, display_info: DisplayInfo) -> RealmDefinition {
    RealmDefinition {
        name: name.to_owned(),
        display_info: Some(display_info),
    }
}

/// Describes a realm of another replica, as whose users this one acts.
pub fn use_realm(name: &str) -> RealmDefinition {
    RealmDefinition {
        name: name.to_owned(),
        display_info: None,
    }
}

impl RealmDefinition {
    /// Asks for the permissions that the realm needs.
    #[must_use]
    pub fn permissions(
        &self,
        requirement: RequirementBuilder<UserManagerContract>,
    ) -> RequirementBuilder<UserManagerContract> {
        let realm_name = self.name.clone();
        let requirement = requirement.permission(&ImpersonateUsers {
            realm_name: realm_name.clone(),
        });
        if self.display_info.is_none() {
            return requirement;
        }
        requirement
            .permission(&ReadRealmUsers {
                realm_name: realm_name.clone(),
            })
            .permission(&CreateUsers { realm_name })
            .permission(&ManageRealm {
                name: self.name.clone(),
            })
    }

    /// Waits for the permissions, and defines the realm if it is the replica's own. To be called at every start.
    pub async fn init(
        &self,
        replica: &Replica,
        manager: &Requirement<UserManagerContract>,
    ) -> Result<RealmHandle, BoxError> {
        manager.wait_until_granted().await?;
        let name = reside::permission::fill_replica_name(&self.name, replica.name());
        let found = match &self.display_info {
            Some(display_info) => {
                let realm = DefineRealm {
                    name: name.clone(),
                    display_info: display_info.clone(),
                };
                manager.client().define_realm(realm).await?
            }
            None => {
                manager
                    .client()
                    .find_realm(FindRealm { name: name.clone() })
                    .await?
            }
        };
        let realm: CoId = found.realm.parse()?;
        Ok(RealmHandle {
            realm: replica.node().load(&Ref::new(realm)).await?,
            replica: replica.clone(),
            manager: manager.clone(),
            name,
        })
    }
}

/// A realm, for the replica that uses it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RealmHandle {
    realm: Co<Realm>,
    replica: Replica,
    manager: Requirement<UserManagerContract>,
    name: String,
}

/// Why somebody can't be acted for.
#[derive(Debug, thiserror::Error)]
pub enum ImpersonationError {
    /// The user holds its own key.
    #[error("the user {0} is not managed: only itself can act for it")]
    NotManaged(UserId),
    /// The user's credentials are not for us, or not valid.
    #[error("the credentials of the user {user} can't be read")]
    Credentials {
        /// The user.
        user: UserId,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

impl RealmHandle {
    /// Returns the realm's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates a managed user.
    pub async fn create_user(&self, name: &str) -> Result<Co<User>, BoxError> {
        let request = CreateUser {
            realm_name: self.name.clone(),
            account_name: name.to_owned(),
        };
        let created = self.manager.client().create_user(request).await?;
        let user: CoId = created.user.parse()?;
        Ok(self.replica.node().load(&Ref::new(user)).await?)
    }

    /// Finds a user of the realm.
    pub async fn user(&self, id: UserId) -> Result<Option<Co<User>>, LoadError> {
        let users = self.replica.node().load(&self.realm.get()?.users).await?;
        match users.get(id.to_string())? {
            Some(user) => self.replica.node().load(&user).await.map(Some),
            None => Ok(None),
        }
    }

    /// Acts as a managed user: runs the closure with a session of that user's account, which has that user's permissions
    /// and none of this replica's.
    ///
    /// When the closure has ended, with success, an error or a panic, or when this future is dropped, the account is logged
    /// out: its keys are wiped, and whatever the closure has kept of the session can do nothing any more. What was written
    /// is at the sync server before this returns, unless the closure panicked or was dropped.
    ///
    /// The credentials themselves are data that this replica may read, and stay in its own node's memory as such.
    pub async fn impersonate<F, Fut, R>(&self, user: &Co<User>, act: F) -> Result<R, BoxError>
    where
        F: FnOnce(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<R, BoxError>>,
    {
        let credentials = self.credentials(&user.get()?).await?;
        let session = LogOut(Arc::new(self.replica.log_in(credentials).await?));
        let result = act(session.0.clone()).await;
        let synced = session.0.sync().await;
        drop(session);
        let result = result?;
        synced?;
        Ok(result)
    }

    async fn credentials(&self, user: &User) -> Result<Credentials, ImpersonationError> {
        let reference = user.credentials.as_ref();
        let reference: &Ref<UserCredentials> = reference.ok_or(ImpersonationError::NotManaged(user.id))?;
        let read = async {
            let stored = self.replica.node().load(reference).await?.get()?;
            let credentials = Credentials::of(stored.agent_secret.parse::<AgentSecret>()?);
            if credentials.account_id != user.account {
                return Err("they are those of another account".into());
            }
            Ok(credentials)
        };
        read.await.map_err(|source| ImpersonationError::Credentials {
            user: user.id,
            source,
        })
    }
}

/// Logs out when it is dropped, whoever still holds the session.
struct LogOut(Arc<Session>);

impl Drop for LogOut {
    fn drop(&mut self) {
        self.0.end();
    }
}
