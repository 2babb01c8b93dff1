//! The methods of `user-manager.v1`: who may call them, and what they come down to.

use reside::prelude::*;
use user_manager_v1::{
    ChangeDefaultPermission, ChangeUserPermission, CreateUser, CreateUsers, CreatedUser, DefineRealm,
    FindRealm, GrantedPermission, ImpersonateUsers, ManageDefaultPermissions, ManageRealm,
    ManageUserPermissions, Me, PermissionChanged, PermissionSet, ReadRealm, ReadRealmUsers, ReadRealms,
    RealmRef, Register, UserManager, UserManagerContract, UserPermissionView, UserProfile,
};

use crate::check;
use crate::engine::{Engine, NewGrant};
use crate::members::Member;

/// The User Manager, as its callers see it.
pub struct Service {
    contract: Implementation<UserManagerContract>,
    engine: Engine,
}

impl Service {
    /// Serves what the engine does.
    pub fn new(contract: Implementation<UserManagerContract>, engine: Engine) -> Self {
        Self { contract, engine }
    }

    fn profile(&self, member: &Member) -> RpcResult<UserProfile> {
        let granted = self.engine.permissions_of(member).map_err(RpcError::internal)?;
        let user = &member.user;
        Ok(UserProfile {
            id: user.id,
            account_id: user.account.to_string(),
            name: user.name.clone(),
            realm: user.realm.clone(),
            is_managed: user.is_managed,
            permissions: granted.into_iter().map(view).collect(),
        })
    }

    async fn change_of_user(
        &self,
        call: &Call,
        request: ChangeUserPermission,
        give: bool,
    ) -> RpcResult<PermissionChanged> {
        self.contract.require(call, &ManageUserPermissions {})?;
        let user = request.user_id;
        let alpha = self.engine.alpha();
        let permission =
            check::permission(alpha, &request.contract, &request.permission, request.params).await?;
        let grant = NewGrant {
            permission,
            replica_ids: request.replica_ids,
            expires_at: request.expires_at.map(Timestamp),
            by: call.made_by().clone(),
        };
        self.engine.change_of_user(user, grant, give).await
    }

    async fn change_default(
        &self,
        call: &Call,
        request: ChangeDefaultPermission,
        give: bool,
    ) -> RpcResult<PermissionChanged> {
        self.contract.require(call, &ManageDefaultPermissions {})?;
        let alpha = self.engine.alpha();
        let permission =
            check::permission(alpha, &request.contract, &request.permission, request.params).await?;
        let grant = NewGrant {
            permission,
            replica_ids: request.replica_ids,
            expires_at: request.expires_at.map(Timestamp),
            by: call.made_by().clone(),
        };
        self.engine.change_default(grant, give).await
    }
}

fn view(granted: GrantedPermission) -> UserPermissionView {
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

impl UserManager for Service {
    async fn register(&self, call: &Call, request: Register) -> RpcResult<UserProfile> {
        let member = self.engine.register(call.made_by(), &request.name).await?;
        self.profile(&member)
    }

    async fn me(&self, call: &Call, _: Me) -> RpcResult<UserProfile> {
        let unknown = || RpcError::not_found("this account is not registered as a user");
        let member = self.engine.member_of(call.made_by()).ok_or_else(unknown)?;
        self.profile(&member)
    }

    async fn create_user(&self, call: &Call, request: CreateUser) -> RpcResult<CreatedUser> {
        let CreateUser {
            realm_name,
            account_name,
        } = request;
        let permission = CreateUsers {
            realm_name: realm_name.clone(),
        };
        self.contract.require(call, &permission)?;
        let member = self.engine.create_user(&realm_name, &account_name).await?;
        Ok(CreatedUser {
            user_id: member.user.id,
            account_id: member.user.account.to_string(),
            user: member.handle.id().to_string(),
        })
    }

    async fn define_realm(&self, call: &Call, request: DefineRealm) -> RpcResult<RealmRef> {
        let DefineRealm { name, display_info } = request;
        self.contract.require(call, &ManageRealm { name: name.clone() })?;
        let realm = self
            .engine
            .define_realm(call.made_by(), &name, display_info)
            .await?;
        Ok(RealmRef {
            realm: realm.id().to_string(),
        })
    }

    async fn find_realm(&self, call: &Call, request: FindRealm) -> RpcResult<RealmRef> {
        let FindRealm { name } = request;
        let (account, realm_name) = (call.made_by(), name.clone());
        let may = self.contract.check(account, &ReadRealms {})
            || self.contract.check(
                account,
                &ReadRealmUsers {
                    realm_name: realm_name.clone(),
                },
            )
            || self.contract.check(account, &ImpersonateUsers { realm_name });
        if !may {
            self.contract.require(call, &ReadRealm { name: name.clone() })?;
        }
        let realm = self.engine.realm(&name).await?;
        Ok(RealmRef {
            realm: realm.id().to_string(),
        })
    }

    async fn grant_permission(
        &self,
        call: &Call,
        request: ChangeUserPermission,
    ) -> RpcResult<PermissionChanged> {
        self.change_of_user(call, request, true).await
    }

    async fn revoke_permission(
        &self,
        call: &Call,
        request: ChangeUserPermission,
    ) -> RpcResult<PermissionChanged> {
        self.change_of_user(call, request, false).await
    }

    async fn grant_default_permission(
        &self,
        call: &Call,
        request: ChangeDefaultPermission,
    ) -> RpcResult<PermissionChanged> {
        self.change_default(call, request, true).await
    }

    async fn revoke_default_permission(
        &self,
        call: &Call,
        request: ChangeDefaultPermission,
    ) -> RpcResult<PermissionChanged> {
        self.change_default(call, request, false).await
    }
}
