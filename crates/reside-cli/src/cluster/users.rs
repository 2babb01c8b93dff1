//! The User Manager, as commands use it.

use std::time::Duration;

use jazz::{Co, CoRecord, Ref};
use reside::{CallError, Contract, Permission, Provider};
use tokio::time::timeout;
use user_manager_v1::{
    FindRealm, GrantedPermission, ReadUsers, Realm, User, UserId, UserManagerContract, UserManagerData,
};

use super::explain;
use super::session::Session;
use crate::error::CommandError;

/// How the User Manager is called in messages; any name would do.
const NAME: &str = "user-manager";
/// How long Alpha may take to say who it is, after it was loaded.
const ARRIVAL_TIME: Duration = Duration::from_secs(10);

impl Session {
    /// The replica that manages users. Everybody may know which one it is.
    pub async fn user_manager(&self) -> Result<Provider<UserManagerContract>, CommandError> {
        let missing = || {
            CommandError::failed("this cluster has no user manager")
                .help("an administrator loads it with `reside cluster bootstrap-defaults`")
        };
        let known = match self.alpha_data()?.user_manager {
            Some(account) => account,
            // It may have been loaded a moment ago.
            None if self.is_user_manager_loaded().await => {
                let mut changes = self.data().subscribe();
                let arrived = changes.wait_for(|data| data.user_manager.is_some());
                let arrived = timeout(ARRIVAL_TIME, arrived).await.ok().flatten();
                let arrived = arrived.and_then(Result::ok).and_then(|data| data.user_manager);
                arrived.ok_or_else(missing)?
            }
            None => return Err(missing()),
        };
        Ok(self.connector().provider(known))
    }

    async fn is_user_manager_loaded(&self) -> bool {
        let contract = UserManagerContract::identity();
        let key = alpha_v1::ReplicaKey::Contract(&contract);
        alpha_v1::find_replicas(self.data(), &key)
            .await
            .is_ok_and(|found| !found.is_empty())
    }

    /// Explains why the User Manager did not do something.
    pub fn users_refused(&self) -> impl FnOnce(CallError) -> CommandError {
        |error| explain::call(error, NAME, self.account())
    }

    /// What the User Manager publishes.
    pub async fn users_data(&self) -> Result<UserManagerData, CommandError> {
        let read = async {
            let data = self.user_manager().await?.data().await;
            let data = data.map_err(|why| cannot_read("what the user manager publishes", why))?;
            data.get()
                .map_err(|why| cannot_read("what the user manager publishes", why))
        };
        read.await
    }

    /// Loads something of the User Manager's that a permission opens.
    pub async fn load_users<P, T>(&self, what: &str, reference: &Ref<T>) -> Result<Co<T>, CommandError>
    where
        P: Permission<Contract = UserManagerContract>,
        T: jazz::CoValue,
    {
        let loaded = self.node().load(reference).await;
        loaded.map_err(|error| {
            explain::load(
                error,
                what,
                &UserManagerContract::identity(),
                P::NAME,
                self.account(),
            )
        })
    }

    /// Finds a realm in which we have a permission.
    pub async fn realm(&self, name: &str) -> Result<Realm, CommandError> {
        let request = FindRealm {
            name: name.to_owned(),
        };
        let found = self.user_manager().await?.client().find_realm(request).await;
        let found = found.map_err(self.users_refused())?;
        let what = format!("the realm `{name}`");
        let id = found.realm.parse().map_err(|why| cannot_read(&what, why))?;
        let realm: Co<Realm> = self
            .node()
            .load(&Ref::new(id))
            .await
            .map_err(|why| cannot_read(&what, why))?;
        realm.get().map_err(|why| cannot_read(&what, why))
    }

    /// Finds a user.
    pub async fn user(&self, id: UserId) -> Result<(User, Vec<GrantedPermission>), CommandError> {
        let users = self.users_data().await?.users;
        let users: Co<CoRecord<Ref<User>>> = self.load_users::<ReadUsers, _>("the users", &users).await?;
        let what = format!("the user {id}");
        let found = users.get(id.to_string()).map_err(|why| cannot_read(&what, why))?;
        let found = found.ok_or_else(|| {
            CommandError::failed(format!("there is no user {id}"))
                .help("`reside user list` shows all of them")
        })?;
        let read = async {
            let user = self.node().load(&found).await?.get()?;
            let sets = self.node().load(&user.permission_sets).await?;
            Ok((user, sets.entries()?.into_values().collect()))
        };
        read.await.map_err(|why: jazz::LoadError| cannot_read(&what, why))
    }
}

fn cannot_read(what: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommandError {
    CommandError::failed(format!("cannot read {what}")).because(why)
}
