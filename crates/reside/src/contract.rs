//! Contracts: what the `#[contract]` and `#[derive(Permission)]` macros implement.
//!
//! A contract is known by a unit type (`GreeterContract`) that carries everything about it at compile time: identity,
//! data type, permissions, methods, client. Nothing here runs a replica.

use std::{error::Error, future::Future, sync::Arc};

use futures::future::BoxFuture;
use jazz::{AccountId, Co, CoMap, Group, Node};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    client::ContractClient,
    dispatch::Dispatch,
    display::DisplayInfo,
    identity::Identity,
    manifest::{ContractManifest, MethodManifest, PermissionManifest, Risk},
    permission::instance_id,
};

/// Any error; for code of replicas, which is run by the SDK and whose errors are logged and retried.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a permission handler answers.
pub type HandlerResult = Result<(), BoxError>;

/// What a replica's own code ends with.
pub type RunResult = Result<(), BoxError>;

/// A contract between replicas. Implemented by `#[contract]`.
pub trait Contract: Sized + Send + Sync + 'static {
    /// Full image name without tag or digest.
    const IDENTITY: &'static str;

    /// What consumers can see.
    type Data: Migrate;

    /// The client with the contract's methods.
    type Client: From<ContractClient> + Clone + Send + Sync + 'static;

    /// Returns the texts for people.
    fn display_info() -> DisplayInfo;

    /// Returns the permissions.
    fn permissions() -> Vec<PermissionSpec<Self>>;

    /// Returns the methods.
    fn methods() -> Vec<MethodSpec>;

    /// Returns the identity.
    fn identity() -> Identity {
        Identity::from_static(Self::IDENTITY)
    }

    /// Returns the manifest that travels in the contract's image.
    fn manifest() -> ContractManifest {
        let mut manifest = ContractManifest::new(Self::identity(), Self::display_info());
        manifest.permissions = Self::permissions()
            .iter()
            .map(|permission| (permission.name.to_owned(), permission.manifest()))
            .collect();
        manifest.methods = Self::methods()
            .iter()
            .map(|method| (method.name.to_owned(), method.manifest()))
            .collect();
        manifest
    }
}

/// A contract that `S` can implement. `#[contract]` implements it for all types with the contract's trait.
pub trait Serve<S>: Contract {
    /// Returns the table of methods, each bound to the service.
    fn dispatch(service: Arc<S>) -> Dispatch;
}

/// Data that are made once and brought up to date at every start: contract data and private roots.
pub trait Migrate: CoMap + Clone + Send + Sync + 'static {
    /// Makes the first version. `owner` is the group that will own the map itself: public for a contract's data,
    /// the replica's alone for a root. What others must not see belongs to groups made here.
    fn init(node: &Node, owner: &Group) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// Brings stored data from any older version to the current one. Runs at every start and must be idempotent.
    fn migrate(data: &Co<Self>) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = data;
        async { Ok(()) }
    }
}

/// A permission with its params. Implemented by `#[derive(Permission)]`.
pub trait Permission: Serialize + DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static {
    /// The contract that defines it.
    type Contract: Contract;

    /// Name, unique in the contract.
    const NAME: &'static str;

    /// Params that tell instances apart, by their names on the wire.
    const INSTANCE_KEYS: &'static [&'static str];

    /// What it allows at worst.
    const RISK: Risk = Risk::Write;

    /// Returns the texts for people.
    fn display_info() -> DisplayInfo;

    /// Returns the params as they are stored.
    fn params(&self) -> Result<Map<String, Value>, serde_json::Error> {
        match serde_json::to_value(self)? {
            Value::Object(params) => Ok(params),
            _ => Err(serde::ser::Error::custom(
                "the params of a permission must be a struct",
            )),
        }
    }

    /// Returns the id of this instance, if the permission has instance keys.
    fn instance_id(&self) -> Result<Option<String>, serde_json::Error> {
        Ok(instance_id(Self::INSTANCE_KEYS, &self.params()?))
    }
}

/// What the implementing replica does when a permission is granted, changed or taken away.
///
/// Handlers run one at a time and must be idempotent: one that was cut off, or that failed, is run again.
pub trait PermissionHandler: Permission {
    /// Called when the permission is granted to the account.
    fn on_granted(
        &self,
        data: &Co<<Self::Contract as Contract>::Data>,
        account: &AccountId,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (data, account);
        async { Ok(()) }
    }

    /// Called when the params of a granted permission change.
    fn on_updated(
        &self,
        old: &Self,
        data: &Co<<Self::Contract as Contract>::Data>,
        account: &AccountId,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (old, data, account);
        async { Ok(()) }
    }

    /// Called when the permission is taken away from the account.
    fn on_revoked(
        &self,
        data: &Co<<Self::Contract as Contract>::Data>,
        account: &AccountId,
    ) -> impl Future<Output = HandlerResult> + Send {
        let _ = (data, account);
        async { Ok(()) }
    }
}

/// What has to happen to a permission of an account.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It is granted with these params.
    Grant(Map<String, Value>),
    /// Its params change.
    Update {
        /// What they were.
        old: Map<String, Value>,
        /// What they shall be.
        new: Map<String, Value>,
    },
    /// It is taken away; these were its params.
    Revoke(Map<String, Value>),
}

type CarryOut<D> = for<'a> fn(Change, &'a Co<D>, &'a AccountId) -> BoxFuture<'a, HandlerResult>;

/// One permission of a contract, its type forgotten.
pub struct PermissionSpec<C: Contract> {
    /// Name, unique in the contract.
    pub name: &'static str,
    /// Params that tell instances apart.
    pub instance_keys: &'static [&'static str],
    risk: Risk,
    display_info: fn() -> DisplayInfo,
    schema: fn() -> Value,
    carry_out: CarryOut<C::Data>,
}

impl<C: Contract> PermissionSpec<C> {
    /// Describes the permission; one of another contract doesn't compile.
    pub fn of<P: PermissionHandler<Contract = C>>() -> Self {
        Self {
            name: P::NAME,
            instance_keys: P::INSTANCE_KEYS,
            risk: P::RISK,
            display_info: P::display_info,
            schema: schema_of::<P>,
            carry_out: |change, data, account| Box::pin(carry_out::<P>(change, data, account)),
        }
    }

    /// Calls the handler that the change asks for.
    pub async fn carry_out(&self, change: Change, data: &Co<C::Data>, account: &AccountId) -> HandlerResult {
        (self.carry_out)(change, data, account).await
    }

    fn manifest(&self) -> PermissionManifest {
        PermissionManifest {
            display_info: (self.display_info)(),
            instance_keys: self.instance_keys.iter().map(|key| (*key).to_owned()).collect(),
            params: Some((self.schema)()),
            risk: self.risk,
        }
    }
}

async fn carry_out<P: PermissionHandler>(
    change: Change,
    data: &Co<<P::Contract as Contract>::Data>,
    account: &AccountId,
) -> HandlerResult {
    let parse = |params| serde_json::from_value::<P>(Value::Object(params));
    match change {
        Change::Grant(params) => parse(params)?.on_granted(data, account).await,
        Change::Update { old, new } => parse(new)?.on_updated(&parse(old)?, data, account).await,
        Change::Revoke(params) => parse(params)?.on_revoked(data, account).await,
    }
}

/// One method of a contract, its types forgotten.
#[derive(Clone, Copy)]
pub struct MethodSpec {
    /// Name on the wire.
    pub name: &'static str,
    /// Calling it twice has the effect of calling it once, so that it may be retried.
    pub idempotent: bool,
    display_info: fn() -> DisplayInfo,
    request: fn() -> Value,
    response: fn() -> Value,
}

impl MethodSpec {
    /// Describes a method by its types.
    pub const fn of<Q: JsonSchema, A: JsonSchema>(
        name: &'static str,
        idempotent: bool,
        display_info: fn() -> DisplayInfo,
    ) -> Self {
        Self {
            name,
            idempotent,
            display_info,
            request: schema_of::<Q>,
            response: schema_of::<A>,
        }
    }

    fn manifest(&self) -> MethodManifest {
        MethodManifest {
            display_info: (self.display_info)(),
            request: Some((self.request)()),
            response: Some((self.response)()),
        }
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
