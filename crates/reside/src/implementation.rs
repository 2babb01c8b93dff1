//! The contracts that a replica implements: their data, their permission handlers, and what the replica's own code sees
//! of them ([`Implementation`]).

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use futures::future::BoxFuture;
use jazz::{AccountId, Co, Node};

use crate::{
    contract::{BoxError, Change, Contract, HandlerResult, Permission, PermissionSpec},
    grants::GrantTable,
    identity::Identity,
    profile::Profile,
    rpc::{Call, RpcError, RpcResult},
};

/// A contract that a replica implements, its type forgotten.
#[async_trait]
pub(crate) trait Implemented: Any + Send + Sync {
    /// Returns the instance keys of a permission; nothing if the contract has no such permission.
    fn instance_keys(&self, permission: &str) -> Option<&'static [&'static str]>;

    /// Calls the handler of a permission.
    async fn carry_out(&self, permission: &str, change: Change, account: &AccountId) -> HandlerResult;
}

struct Typed<C: Contract> {
    data: Co<C::Data>,
    permissions: HashMap<&'static str, PermissionSpec<C>>,
}

#[async_trait]
impl<C: Contract> Implemented for Typed<C> {
    fn instance_keys(&self, permission: &str) -> Option<&'static [&'static str]> {
        self.permissions.get(permission).map(|spec| spec.instance_keys)
    }

    async fn carry_out(&self, permission: &str, change: Change, account: &AccountId) -> HandlerResult {
        match self.permissions.get(permission) {
            Some(spec) => spec.carry_out(change, &self.data, account).await,
            None => Err(format!("{} has no permission `{permission}`", C::IDENTITY).into()),
        }
    }
}

type Prepare = for<'a> fn(&'a Node, &'a Profile) -> BoxFuture<'a, Result<Arc<dyn Implemented>, BoxError>>;

/// How to set up a contract that a replica implements.
pub(crate) struct ImplementationSpec {
    identity: fn() -> Identity,
    pub(crate) has_methods: fn() -> bool,
    pub(crate) prepare: Prepare,
}

impl ImplementationSpec {
    pub(crate) fn of<C: Contract>() -> Self {
        Self {
            identity: C::identity,
            has_methods: || !C::methods().is_empty(),
            prepare: |node, profile| Box::pin(prepare::<C>(node, profile)),
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        (self.identity)()
    }
}

async fn prepare<C: Contract>(node: &Node, profile: &Profile) -> Result<Arc<dyn Implemented>, BoxError> {
    let data = profile.contract_data::<C>(node).await?;
    let permissions = C::permissions()
        .into_iter()
        .map(|spec| (spec.name, spec))
        .collect();
    Ok(Arc::new(Typed { data, permissions }))
}

/// The contracts that a replica implements.
pub(crate) type Implementations = HashMap<Identity, Arc<dyn Implemented>>;

/// A contract that this replica implements, for the code that implements it. Cheap to clone.
pub struct Implementation<C: Contract> {
    data: Co<C::Data>,
    grants: Arc<GrantTable>,
}

impl<C: Contract> Implementation<C> {
    pub(crate) fn find(implementations: &Implementations, grants: Arc<GrantTable>) -> Option<Self> {
        let implemented: &dyn Any = &**implementations.get(C::IDENTITY)?;
        let data = implemented.downcast_ref::<Typed<C>>()?.data.clone();
        Some(Self { data, grants })
    }

    /// Returns the contract's data, which this replica owns.
    pub fn data(&self) -> &Co<C::Data> {
        &self.data
    }

    /// Tells whether the account has this instance of the permission now: it is expected, carried out, and not over.
    ///
    /// A revocation counts from the moment it is asked for. Params that aren't instance keys are not compared; see
    /// [`Implementation::granted`].
    pub fn check<P: Permission<Contract = C>>(&self, account: &AccountId, permission: &P) -> bool {
        self.granted(account, permission).is_some()
    }

    /// Returns the permission as it was granted to the account, if the account has this instance of it now.
    pub fn granted<P: Permission<Contract = C>>(&self, account: &AccountId, permission: &P) -> Option<P> {
        self.grants.granted(account, permission)
    }

    /// Refuses the call unless its caller has the permission. The error names the permission for programs.
    pub fn require<P: Permission<Contract = C>>(&self, call: &Call, permission: &P) -> RpcResult<()> {
        if self.check(call.made_by(), permission) {
            return Ok(());
        }
        let params = permission.params().map_err(RpcError::internal)?;
        Err(RpcError::missing_permission(
            &C::identity(),
            P::NAME,
            params.into(),
        ))
    }
}

impl<C: Contract> Clone for Implementation<C> {
    fn clone(&self) -> Self {
        Self {
            data: self.data.clone(),
            grants: self.grants.clone(),
        }
    }
}

impl<C: Contract> fmt::Debug for Implementation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Implementation({})", C::IDENTITY)
    }
}
