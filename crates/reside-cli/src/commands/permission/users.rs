//! Why the user manager grants a permission to a user: by the user's own set, or by one that others have too.

use alpha_v1::{ReplicaKey, find_replicas, replica_by_id};
use jazz::{AccountId, LoadError, Timestamp};
use reside::{Contract, Identity, Provider};
use user_manager_v1::{GrantedPermission, PermissionSet, User, UserManagerContract, UserManagerData};

use crate::cluster::period::local_time;
use crate::cluster::permissions::AccountNames;
use crate::cluster::session::Session;

/// A permission of a user, wherever it is.
pub struct OfUser<'a> {
    pub account: &'a AccountId,
    pub contract: &'a Identity,
    pub permission: &'a str,
    pub instance_id: Option<&'a str>,
}

/// The sets that grant a permission at a replica, in words; nothing if whoever asks may not see the sets.
pub async fn facts(
    session: &Session,
    names: &AccountNames,
    asked: &OfUser<'_>,
    replica: u32,
) -> Option<Vec<String>> {
    let manager = user_manager(session).await?;
    let data = manager.data().await.ok()?.get().ok()?;
    let user = user(session, &data, asked.account).await.ok().flatten();
    let mut granted = session
        .node()
        .load(&data.default_permissions)
        .await
        .ok()?
        .entries()
        .ok()?;
    if let Some(user) = &user {
        granted.extend(
            session
                .node()
                .load(&user.permission_sets)
                .await
                .ok()?
                .entries()
                .ok()?,
        );
    }
    let is_meant = |granted: &GrantedPermission| {
        granted.contract == *asked.contract
            && granted.permission == asked.permission
            && granted.instance_id.as_deref() == asked.instance_id
            && granted
                .replica_ids
                .as_ref()
                .is_none_or(|ids| ids.contains(&replica))
            && granted.expires_at.is_none_or(|end| Timestamp::now() < end)
    };
    let whose = user.map_or_else(
        || "the user".to_owned(),
        |user| format!("user {} ({})", user.id, user.name),
    );
    let meant = granted.into_values().filter(is_meant);
    Some(meant.map(|granted| fact(names, &whose, &granted)).collect())
}

fn fact(names: &AccountNames, whose: &str, granted: &GrantedPermission) -> String {
    let set = match granted.set {
        PermissionSet::Own => format!("granted to {whose}"),
        PermissionSet::Administrator => format!("in the administrator's set of {whose}"),
        PermissionSet::Default => format!("in the default set, which {whose} has as all users do"),
    };
    let (by, at) = (names.text(granted.by.as_str()), local_time(granted.at));
    let until = granted
        .expires_at
        .map(|end| format!(", until {}", local_time(end)));
    format!("{set}, by {by} on {at}{}", until.unwrap_or_default())
}

async fn user_manager(session: &Session) -> Option<Provider<UserManagerContract>> {
    let contract = UserManagerContract::identity();
    let ids = find_replicas(session.data(), &ReplicaKey::Contract(&contract))
        .await
        .ok()?;
    let record = replica_by_id(session.data(), *ids.first()?)
        .await
        .ok()??
        .get()
        .ok()?;
    Some(session.provider(record.account))
}

async fn user(
    session: &Session,
    data: &UserManagerData,
    account: &AccountId,
) -> Result<Option<User>, LoadError> {
    let users = session.node().load(&data.users).await?;
    for user in users.entries()?.values() {
        let user = session.node().load(user).await?.get()?;
        if user.account == *account {
            return Ok(Some(user));
        }
    }
    Ok(None)
}
