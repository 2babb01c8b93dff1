//! A user as commands show it.

use serde::Serialize;
use user_manager_v1::{GrantedPermission, PermissionSet, User, UserPermissionView, UserProfile};

use crate::ui::{Drawing, Fields, Table, View};

/// One user in detail.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Shown(pub UserProfile);

impl Shown {
    /// A user with what it was granted.
    pub fn new(user: User, granted: Vec<GrantedPermission>) -> Self {
        Self(UserProfile {
            id: user.id,
            account_id: user.account.to_string(),
            name: user.name,
            realm: user.realm,
            is_managed: user.is_managed,
            permissions: granted.into_iter().map(permission).collect(),
        })
    }
}

/// A permission as programs read it.
pub fn permission(granted: GrantedPermission) -> UserPermissionView {
    let set = match granted.set {
        PermissionSet::Own => "own",
        PermissionSet::Administrator => "administrator",
        PermissionSet::Default => "default",
    };
    UserPermissionView {
        set: set.to_owned(),
        contract: granted.contract.to_string(),
        permission: granted.permission,
        instance_id: granted.instance_id,
        params: granted.params,
        expires_at: granted.expires_at.map(|end| end.0),
    }
}

/// Who holds a user's key.
pub fn kind(is_managed: bool) -> &'static str {
    if is_managed { "managed" } else { "own key" }
}

/// A table of permissions.
pub fn permissions(all: &[UserPermissionView]) -> Table {
    let mut table = Table::new(
        ["CONTRACT", "PERMISSION", "INSTANCE", "SET", "UNTIL"],
        "No permissions",
    );
    for granted in all {
        let until = granted.expires_at.map(|end| jazz::Timestamp(end).to_string());
        table.row([
            granted.contract.clone(),
            granted.permission.clone(),
            granted.instance_id.clone().unwrap_or_default(),
            granted.set.clone(),
            until.unwrap_or_default(),
        ]);
    }
    table
}

impl View for Shown {
    fn draw(&self) -> Drawing {
        let user = &self.0;
        let mut fields = Fields::default();
        fields.field("User", user.id.to_string());
        fields.field("Name", &user.name);
        fields.field("Realm", &user.realm);
        fields.field("Kind", kind(user.is_managed));
        fields.field("Account", &user.account_id);
        fields.table("Permissions", permissions(&user.permissions));
        Drawing::Fields(fields)
    }
}
