//! What the user manager publishes (SYSTEM.md, section 9). The outer map is public; users and realms are not.

use jazz::{AccountId, Co, CoMap, CoRecord, Group, Node, Ref, Role, Timestamp};
use reside::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The realm into which accounts register themselves.
pub const OPEN_REALM: &str = "default";

/// Number of a user: from 1, never used twice.
pub type UserId = u32;

/// The user manager's contract data.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct UserManagerData {
    /// All users by id; readable with [`ReadUsers`](crate::ReadUsers).
    pub users: Ref<CoRecord<Ref<User>>>,
    /// Realms by name; readable with [`ReadRealms`](crate::ReadRealms).
    pub realms: Ref<CoRecord<Ref<Realm>>>,
    /// What every user may do, present and future ones; readable with
    /// [`ReadDefaultPermissions`](crate::ReadDefaultPermissions). By [`GrantedPermission::key`].
    pub default_permissions: Ref<CoRecord<GrantedPermission>>,
    /// Group whose members may change the default permissions, and so read them.
    pub default_permission_managers: Ref<Group>,
}

/// A user: a person or somebody's stand-in, who acts with an account of its own.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct User {
    /// Its number.
    pub id: UserId,
    /// Its account.
    pub account: AccountId,
    /// What it is called.
    pub name: String,
    /// The realm it belongs to.
    pub realm: String,
    /// Whether a replica made it; others hold their own key.
    pub is_managed: bool,
    /// What it may do besides the default permissions, by [`GrantedPermission::key`].
    pub permission_sets: Ref<CoRecord<GrantedPermission>>,
    /// The key of a managed user, readable for those who may impersonate its realm.
    pub credentials: Option<Ref<UserCredentials>>,
    /// Since when it is known.
    pub created_at: Timestamp,
}

/// What it takes to act for a managed user.
#[derive(CoMap, Clone, PartialEq)]
pub struct UserCredentials {
    /// The secret of the account's agent.
    pub agent_secret: String,
}

impl std::fmt::Debug for UserCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserCredentials")
    }
}

/// A part of the users, with people of its own who create, read and impersonate them.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct Realm {
    /// Its name.
    pub name: String,
    /// Texts for people; absent until somebody has defined the realm. Until then it holds nothing but rights that were
    /// given in advance.
    pub display_info: Option<DisplayInfo>,
    /// Whether accounts register themselves here.
    pub is_open: bool,
    /// Who defined it.
    pub owner: Option<AccountId>,
    /// Its users by id; readable with [`ReadRealmUsers`](crate::ReadRealmUsers).
    pub users: Ref<CoRecord<Ref<User>>>,
    /// Group whose members can read the credentials of its users.
    pub impersonators: Ref<Group>,
}

/// Which set a permission of a user belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionSet {
    /// What was granted to this very user.
    Own,
    /// What the super administrator gets when it registers.
    Administrator,
    /// What all users have.
    Default,
}

/// A permission in a set. It holds at every replica that implements the contract, now and later, unless some are named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantedPermission {
    /// The set it belongs to.
    pub set: PermissionSet,
    /// The contract that defines it.
    pub contract: Identity,
    /// Its name in the contract.
    pub permission: String,
    /// Which instance, if it has instance keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its params.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// The replicas it is for; absent: all that implement the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_ids: Option<Vec<u32>>,
    /// From then on it counts as revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Who granted it.
    pub by: AccountId,
    /// When.
    pub at: Timestamp,
}

impl GrantedPermission {
    /// Returns the key that the permission has in its record: the set, then what names it within one account.
    pub fn key(&self) -> String {
        let grant =
            reside::permission::grant_key(&self.contract, &self.permission, self.instance_id.as_deref());
        let set = match self.set {
            PermissionSet::Own => "own",
            PermissionSet::Administrator => "administrator",
            PermissionSet::Default => "default",
        };
        format!("{set}/{grant}")
    }
}

impl Migrate for UserManagerData {
    async fn init(node: &Node, _owner: &Group) -> Result<Self, BoxError> {
        let (managers, readers) = (node.create_group()?, node.create_group()?);
        readers.extend_as(&managers, Role::Reader).await?;
        let users = node.create_record::<&str, Ref<User>>(&node.create_group()?, [])?;
        let realms = node.create_record::<&str, Ref<Realm>>(&node.create_group()?, [])?;
        let default_permissions = node.create_record::<&str, GrantedPermission>(&readers, [])?;
        Ok(Self {
            users: users.reference(),
            realms: realms.reference(),
            default_permissions: default_permissions.reference(),
            default_permission_managers: managers.reference(),
        })
    }

    async fn migrate(data: &Co<Self>) -> Result<(), BoxError> {
        let realm = ensure_realm(data, OPEN_REALM).await?;
        let texts = DisplayInfo::default()
            .with(
                "en",
                "Registered users",
                "Accounts that have registered themselves",
            )
            .with(
                "ru",
                "Зарегистрированные пользователи",
                "Аккаунты, которые зарегистрировались сами",
            );
        realm.update(|realm| {
            realm.display_info = Some(texts);
            realm.is_open = true;
        })?;
        Ok(())
    }
}

/// Returns a realm. Rights in a realm can be given before anybody has defined it, so whoever names it first has it made.
pub async fn ensure_realm(data: &Co<UserManagerData>, name: &str) -> Result<Co<Realm>, BoxError> {
    let (node, public) = (data.node(), data.get()?);
    let (realms, all_users) = tokio::try_join!(node.load(&public.realms), node.load(&public.users))?;
    // Transactions of a node take turns, so of several who ask at once one makes it.
    let realm = node.transaction(|tx| {
        if let Some(realm) = realms.get(name)? {
            return Ok(realm);
        }
        let (readers, impersonators) = (node.create_group()?, node.create_group()?);
        let users = tx.create_record::<&str, Ref<User>>(&readers, [])?;
        let realm = Realm {
            name: name.to_owned(),
            display_info: None,
            is_open: false,
            owner: None,
            users: users.reference(),
            impersonators: impersonators.reference(),
        };
        let realm = tx.create(&node.create_group()?, realm)?.reference();
        tx.insert(&realms, name, &realm)?;
        Ok(realm)
    })?;
    let realm = node.load(&realm).await?;
    let record = realm.get()?;
    let (users, impersonators) =
        tokio::try_join!(node.load(&record.users), node.load(&record.impersonators))?;
    let impersonators = Group::from(impersonators);
    for parent in [&all_users.owner(), &impersonators] {
        extend(&users.owner(), parent).await?;
    }
    for parent in [&realms.owner(), &users.owner()] {
        extend(&realm.owner(), parent).await?;
    }
    Ok(realm)
}

/// Lets the members of another group read what this one owns, unless they can.
async fn extend(group: &Group, parent: &Group) -> Result<(), BoxError> {
    if !group.parents()?.contains(&parent.reference()) {
        group.extend_as(parent, Role::Reader).await?;
    }
    Ok(())
}
