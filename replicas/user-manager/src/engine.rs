//! Keeps users and their permissions, and makes the control blocks of all replicas say what users may do there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alpha_v1::{AlphaContract, AlphaData, ManageControlBlocks, ReplicaId, ReplicaRecord};
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::{BoxStream, SelectAll};
use parking_lot::RwLock;
use reside::Contract;
use reside::prelude::*;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use user_manager_v1::{
    GrantedPermission, ManageDefaultPermissions, ManageUserPermissions, OPEN_REALM, PermissionChanged,
    PermissionSet, ReadRealms, ReadUsers, Realm, User, UserCredentials, UserId, UserManagerContract,
    UserManagerData, ensure_realm,
};

use crate::check::{self, CheckedPermission};
use crate::members::{Member, Members};
use crate::targets::{Target, Written};
use crate::wishes::Wishes;

/// How long a change waits for the replicas concerned to carry it out.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often everything is looked at without a reason.
const RESYNC: Duration = Duration::from_secs(600);
/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Anybody can register, so there is an end to it.
const USERS_MAX: usize = 100_000;

/// The control blocks of the loaded replicas.
type Targets = BTreeMap<ReplicaId, Target>;

/// The work of the replica. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    replica: Replica,
    data: Co<UserManagerData>,
    alpha: Co<AlphaData>,
    users: Co<CoRecord<Ref<User>>>,
    realms: Co<CoRecord<Ref<Realm>>>,
    defaults: Co<CoRecord<GrantedPermission>>,
    replicas: Co<CoRecord<Ref<ReplicaRecord>>>,
    members: RwLock<Members>,
    /// Held by whoever changes permissions: changes of the same set take turns.
    targets: Mutex<Targets>,
}

/// A permission to be put into a set.
pub struct NewGrant {
    pub permission: CheckedPermission,
    pub replica_ids: Option<Vec<ReplicaId>>,
    pub expires_at: Option<Timestamp>,
    pub by: AccountId,
}

impl NewGrant {
    fn into_set(self, set: PermissionSet) -> GrantedPermission {
        let CheckedPermission {
            contract,
            permission,
            instance_id,
            params,
        } = self.permission;
        GrantedPermission {
            set,
            contract,
            permission,
            instance_id,
            params,
            replica_ids: self.replica_ids,
            expires_at: self.expires_at,
            by: self.by,
            at: Timestamp::now(),
        }
    }
}

fn internal(error: impl Into<BoxError>) -> RpcError {
    RpcError::internal(error)
}

impl Engine {
    /// Loads everything that there is.
    pub async fn open(
        replica: &Replica,
        data: &Co<UserManagerData>,
        alpha: Co<AlphaData>,
    ) -> Result<Self, BoxError> {
        let (node, public, of_alpha) = (replica.node(), data.get()?, alpha.get()?);
        let (users, realms, defaults, replicas) = tokio::try_join!(
            node.load(&public.users),
            node.load(&public.realms),
            node.load(&public.default_permissions),
            node.load(&of_alpha.replicas),
        )?;
        let members = Members::load(&users).await?;
        Ok(Self(Arc::new(Inner {
            replica: replica.clone(),
            data: data.clone(),
            alpha,
            users,
            realms,
            defaults,
            replicas,
            members: RwLock::new(members),
            targets: Mutex::default(),
        })))
    }

    /// Alpha's public data.
    pub fn alpha(&self) -> &Co<AlphaData> {
        &self.0.alpha
    }

    /// Follows the replicas of the cluster until the token is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        let mut changes = SelectAll::<BoxStream<'static, ()>>::new();
        changes.push(self.0.replicas.subscribe().map(drop).boxed());
        let mut followed = BTreeMap::new();
        loop {
            let wait = match self.reconcile().await {
                Ok(records) => {
                    for record in records {
                        followed.entry(record.id().clone()).or_insert_with(|| {
                            changes.push(record.subscribe().map(drop).boxed());
                        });
                    }
                    RESYNC
                }
                Err(error) => {
                    tracing::error!(
                        error = &*error as &dyn std::error::Error,
                        "permissions of users can't be written"
                    );
                    RETRY
                }
            };
            let change = tokio::time::timeout(wait, changes.next());
            if stop.run_until_cancelled(change).await.is_none() {
                return;
            }
            // Changes that came together are one.
            while let Some(Some(())) = futures::FutureExt::now_or_never(changes.next()) {}
        }
    }

    /// Makes the control blocks of all replicas say what users may do. Returns the records of the replicas; what fails for
    /// one replica stops no other.
    pub async fn reconcile(&self) -> Result<Vec<Co<ReplicaRecord>>, BoxError> {
        let mut targets = self.0.targets.lock().await;
        let (records, failure) = self.refresh(&mut targets).await?;
        self.write_all(&mut targets)?;
        failure.map_or(Ok(records), Err)
    }

    /// Locks the control blocks of all replicas that are loaded now, as far as they can be opened.
    async fn targets(&self) -> RpcResult<MutexGuard<'_, Targets>> {
        let mut targets = self.0.targets.lock().await;
        // What can't be opened is reported by the loop.
        self.refresh(&mut targets).await.map_err(internal)?;
        Ok(targets)
    }

    async fn refresh(
        &self,
        targets: &mut Targets,
    ) -> Result<(Vec<Co<ReplicaRecord>>, Option<BoxError>), BoxError> {
        let node = self.0.replica.node();
        let records = self.0.replicas.entries()?.into_values();
        let records = try_join_all(records.map(|record| async move { node.load(&record).await })).await?;
        let mut failure = None;
        for record in &records {
            let record = record.get()?;
            if record.unloaded_at.is_some() {
                targets.remove(&record.id);
                continue;
            }
            match targets.get_mut(&record.id) {
                Some(target) => target.contracts = record.implementations,
                None => match Target::open(node, &record).await {
                    Ok(target) => drop(targets.insert(record.id, target)),
                    Err(error) => failure = Some(error),
                },
            }
        }
        Ok((records, failure))
    }

    /// Writes what all users may do wherever it isn't written yet.
    fn write_all(&self, targets: &mut Targets) -> Result<Vec<Written>, BoxError> {
        let defaults: Vec<_> = self.0.defaults.entries()?.into_values().collect();
        let members = self.0.members.read();
        let mut granted = Vec::with_capacity(members.len());
        for member in members.all() {
            let mut own: Vec<_> = member.sets.entries()?.into_values().collect();
            own.extend(defaults.iter().cloned());
            granted.push((&member.user.account, own));
        }
        let mut written = Vec::new();
        for target in targets.values_mut() {
            let mut changes = Wishes::new();
            for (account, granted) in &granted {
                changes.extend(target.changes_for(account, granted));
            }
            if !changes.is_empty() {
                target.write(changes.clone())?;
                written.push(Written::new(target, changes));
            }
        }
        Ok(written)
    }

    /// Writes what one user may do wherever it isn't written yet.
    fn write_one(&self, targets: &mut Targets, member: &Member) -> Result<Vec<Written>, BoxError> {
        let granted = self.permissions_of(member)?;
        let mut written = Vec::new();
        for target in targets.values_mut() {
            let changes = target.changes_for(&member.user.account, &granted);
            if !changes.is_empty() {
                target.write(changes.clone())?;
                written.push(Written::new(target, changes));
            }
        }
        Ok(written)
    }

    /// What a user may do, the default permissions included.
    pub fn permissions_of(&self, member: &Member) -> Result<Vec<GrantedPermission>, jazz::LoadError> {
        let mut granted: Vec<_> = member.sets.entries()?.into_values().collect();
        granted.extend(self.0.defaults.entries()?.into_values());
        Ok(granted)
    }

    /// Finds a user by its account.
    pub fn member_of(&self, account: &AccountId) -> Option<Member> {
        self.0.members.read().by_account(account).cloned()
    }

    fn member(&self, id: UserId) -> RpcResult<Member> {
        let found = self.0.members.read().by_id(id).cloned();
        found.ok_or_else(|| RpcError::not_found(format!("there is no user {id}")))
    }

    /// Makes an account a user of the open realm, unless it is a user. The super administrator gets its permissions.
    pub async fn register(&self, account: &AccountId, name: &str) -> RpcResult<Member> {
        let member = match self.member_of(account) {
            Some(member) => member,
            None => {
                check::user_name(name)?;
                self.add(OPEN_REALM, account.clone(), name, None).await?
            }
        };
        let admin = self.0.alpha.get().map_err(internal)?.super_admin_account;
        let mut targets = self.targets().await?;
        if admin.as_ref() == Some(account) {
            self.add_administrator_set(&member).map_err(internal)?;
        }
        let written = self.write_one(&mut targets, &member).map_err(internal)?;
        drop(targets);
        // A user can use at once what it was given, if the replicas are quick.
        wait_until_applied(&written).await.map_err(internal)?;
        Ok(member)
    }

    fn add_administrator_set(&self, member: &Member) -> Result<(), BoxError> {
        let of_alpha = AlphaContract::manifest().permissions.into_keys();
        let of_alpha = of_alpha
            .filter(|name| name != ManageControlBlocks::NAME)
            .map(|name| (AlphaContract::identity(), name));
        let own = [
            ReadUsers::NAME,
            ManageUserPermissions::NAME,
            ManageDefaultPermissions::NAME,
            ReadRealms::NAME,
        ];
        let own = own.map(|name| (UserManagerContract::identity(), name.to_owned()));
        self.0.replica.node().transaction(|tx| {
            for (contract, permission) in of_alpha.chain(own) {
                let granted = GrantedPermission {
                    set: PermissionSet::Administrator,
                    contract,
                    permission,
                    instance_id: None,
                    params: Default::default(),
                    replica_ids: None,
                    expires_at: None,
                    by: self.0.replica.account_id().clone(),
                    at: Timestamp::now(),
                };
                let key = granted.key();
                if !member.sets.contains_key(&key)? {
                    tx.insert(&member.sets, key, &granted)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Makes a managed user.
    pub async fn create_user(&self, realm: &str, name: &str) -> RpcResult<Member> {
        check::user_name(name)?;
        self.realm(realm).await?;
        let account = self.0.replica.create_account(name).await.map_err(internal)?;
        let secret = account.agent_secret.expose().to_owned();
        let member = self.add(realm, account.account_id, name, Some(secret)).await?;
        let mut targets = self.targets().await?;
        let written = self.write_one(&mut targets, &member).map_err(internal)?;
        drop(targets);
        wait_until_applied(&written).await.map_err(internal)?;
        Ok(member)
    }

    /// Finds a realm that somebody has defined.
    pub async fn realm(&self, name: &str) -> RpcResult<Co<Realm>> {
        let unknown = || RpcError::not_found(format!("there is no realm {name:?}"));
        let found = self.0.realms.get(name).map_err(internal)?.ok_or_else(unknown)?;
        let realm = self.0.replica.node().load(&found).await.map_err(internal)?;
        let is_defined = realm.get().map_err(internal)?.display_info.is_some();
        is_defined.then_some(realm).ok_or_else(unknown)
    }

    /// Defines a realm, or changes its texts.
    pub async fn define_realm(&self, by: &AccountId, name: &str, texts: DisplayInfo) -> RpcResult<Co<Realm>> {
        check::realm_name(name)?;
        texts
            .check()
            .map_err(|error| RpcError::malformed(error.to_string()))?;
        if name == OPEN_REALM {
            return Err(RpcError::conflict(format!(
                "the realm `{OPEN_REALM}` belongs to the user manager"
            )));
        }
        let realm = ensure_realm(&self.0.data, name).await.map_err(internal)?;
        realm
            .update(|realm| {
                realm.display_info = Some(texts);
                realm.owner.get_or_insert(by.clone());
            })
            .map_err(internal)?;
        Ok(realm)
    }

    async fn add(
        &self,
        realm_name: &str,
        account: AccountId,
        name: &str,
        secret: Option<String>,
    ) -> RpcResult<Member> {
        let node = self.0.replica.node();
        let realm = ensure_realm(&self.0.data, realm_name).await.map_err(internal)?;
        let realm = realm.get().map_err(internal)?;
        let (realm_users, impersonators) =
            tokio::try_join!(node.load(&realm.users), node.load(&realm.impersonators)).map_err(internal)?;
        let _changing = self.0.targets.lock().await;
        if let Some(member) = self.member_of(&account) {
            return Ok(member);
        }
        let (id, count) = {
            let members = self.0.members.read();
            (members.next_id(), members.len())
        };
        if count >= USERS_MAX {
            return Err(RpcError::wrong_state(format!(
                "there are {USERS_MAX} users, which is the limit"
            )));
        }
        let owner = realm_users.owner();
        let member = node.transaction(|tx| {
            let sets = tx.create_record::<&str, GrantedPermission>(&owner, [])?;
            let credentials = secret.map(|agent_secret| {
                let made = tx.create(
                    &Group::from(impersonators.clone()),
                    UserCredentials { agent_secret },
                );
                made.map(|made| made.reference())
            });
            let user = User {
                id,
                account,
                name: name.to_owned(),
                realm: realm_name.to_owned(),
                is_managed: credentials.is_some(),
                permission_sets: sets.reference(),
                credentials: credentials.transpose()?,
                created_at: Timestamp::now(),
            };
            let handle = tx.create(&owner, user.clone())?;
            tx.insert(&realm_users, id.to_string(), &handle.reference())?;
            tx.insert(&self.0.users, id.to_string(), &handle.reference())?;
            Ok(Member { handle, user, sets })
        });
        let member = member.map_err(internal)?;
        self.0.members.write().insert(member.clone());
        Ok(member)
    }

    /// Puts a permission into a user's own set, or takes it out of all of the user's sets.
    pub async fn change_of_user(
        &self,
        id: UserId,
        grant: NewGrant,
        give: bool,
    ) -> RpcResult<PermissionChanged> {
        let member = self.member(id)?;
        let mut targets = self.targets().await?;
        let concerned = concerned(&targets, &grant)?;
        let own = grant.into_set(PermissionSet::Own);
        if give {
            member.sets.insert(own.key(), &own).map_err(internal)?;
        } else {
            let administrator = GrantedPermission {
                set: PermissionSet::Administrator,
                ..own.clone()
            };
            let keys = [own.key(), administrator.key()];
            let has = |key: &String| member.sets.contains_key(key).is_ok_and(|has| has);
            if !keys.iter().any(has) {
                return Err(RpcError::not_found(format!(
                    "the user {id} was not granted {}, at least not by itself",
                    own.permission
                )));
            }
            for key in keys {
                member.sets.remove(key).map_err(internal)?;
            }
        }
        let written = self.write_one(&mut targets, &member).map_err(internal)?;
        drop(targets);
        changed(concerned, &written).await
    }

    /// Puts a permission into the default set, or takes it out.
    pub async fn change_default(&self, grant: NewGrant, give: bool) -> RpcResult<PermissionChanged> {
        let mut targets = self.targets().await?;
        let concerned = concerned(&targets, &grant)?;
        let granted = grant.into_set(PermissionSet::Default);
        let key = granted.key();
        if give {
            self.0.defaults.insert(key, &granted).map_err(internal)?;
        } else if self.0.defaults.contains_key(&key).map_err(internal)? {
            self.0.defaults.remove(key).map_err(internal)?;
        } else {
            let what = format!("{} is not among the default permissions", granted.permission);
            return Err(RpcError::not_found(what));
        }
        let written = self.write_all(&mut targets).map_err(internal)?;
        drop(targets);
        changed(concerned, &written).await
    }
}

/// The replicas at which a permission can be had now.
fn concerned(targets: &Targets, grant: &NewGrant) -> RpcResult<Vec<ReplicaId>> {
    let contract = &grant.permission.contract;
    let implements = |id: &ReplicaId| {
        targets
            .get(id)
            .is_some_and(|target| target.contracts.contains(contract))
    };
    match &grant.replica_ids {
        None => Ok(targets.keys().copied().filter(implements).collect()),
        Some(ids) => match ids.iter().find(|id| !implements(id)) {
            Some(id) => Err(RpcError::not_found(format!(
                "replica {id} does not implement {contract}"
            ))),
            None => Ok(ids.clone()),
        },
    }
}

async fn changed(replica_ids: Vec<ReplicaId>, written: &[Written]) -> RpcResult<PermissionChanged> {
    let applied = wait_until_applied(written).await.map_err(internal)?;
    Ok(PermissionChanged { replica_ids, applied })
}

/// Waits a moment; tells whether everything was carried out in it.
async fn wait_until_applied(written: &[Written]) -> Result<bool, jazz::LoadError> {
    let all = try_join_all(written.iter().map(Written::applied));
    match tokio::time::timeout(APPLY_TIMEOUT, all).await {
        Ok(result) => result.map(|_| true),
        Err(_) => Ok(false),
    }
}
