//! The replicas behind a requirement: finding their data and endpoints from their accounts, and calling them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jazz::driver::Watch;
use jazz::{AccountId, Co, CoId, LoadError, Node, Ref};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    client::{Caller, ContractClient, Method},
    clock::Clock,
    config::AccessContext,
    contract::{BoxError, Contract, Permission},
    grants::{PublishedGrant, PublishedGrants},
    identity::Identity,
    profile::ReplicaProfile,
    rcb::Grant,
    rpc::{CallError, Callee, Code, RpcClient},
};

/// Why a replica can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its account or profile can't be loaded.
    #[error("the profile of {account} can't be loaded")]
    Profile {
        /// The account.
        account: AccountId,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// It doesn't implement the contract, as far as it has published.
    #[error("{account} does not implement {contract}")]
    NotImplemented {
        /// The account.
        account: AccountId,
        /// The contract.
        contract: Identity,
    },
    /// The contract's data can't be loaded.
    #[error("the data of {contract} at {account} can't be loaded")]
    Data {
        /// The account.
        account: AccountId,
        /// The contract.
        contract: Identity,
        /// Why not.
        #[source]
        source: LoadError,
    },
    /// What it granted to us can't be read.
    #[error("the grants at {account} can't be read")]
    Grants {
        /// The account.
        account: AccountId,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// It didn't grant a permission in time.
    #[error("{account} did not grant {permission} in time")]
    NotGranted {
        /// The account.
        account: AccountId,
        /// Global name of the permission, instance included.
        permission: String,
    },
}

/// Uses replicas on behalf of one account. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    node: Node,
    rpc: RpcClient,
    access: AccessContext,
    clock: Clock,
    /// Loaded once, they stay up to date by themselves.
    profiles: Mutex<HashMap<AccountId, Co<ReplicaProfile>>>,
    /// Where replicas are reached whose profiles have not changed since.
    callees: Mutex<HashMap<AccountId, (Callee, Watch)>>,
}

impl Connector {
    /// Uses replicas as the account of the node.
    pub fn new(node: Node, rpc: RpcClient, access: AccessContext, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            node,
            rpc,
            access,
            clock,
            profiles: Mutex::default(),
            callees: Mutex::default(),
        }))
    }

    /// Returns the replica with this account, as an implementation of the contract.
    pub fn provider<C: Contract>(&self, account: AccountId) -> Provider<C> {
        Provider {
            connector: self.clone(),
            account,
            contract: PhantomData,
        }
    }

    /// Calls a method of a replica by names, with JSON both ways.
    pub async fn call(
        &self,
        account: &AccountId,
        contract: &Identity,
        method: &str,
        request: &Value,
    ) -> Result<Value, CallError> {
        let caller = Arc::new(self.caller(account.clone()));
        ContractClient::new(contract.clone(), caller)
            .call(method, false, request)
            .await
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    /// Returns the profile of a replica; it stays up to date by itself.
    pub async fn profile(&self, account: &AccountId) -> Result<Co<ReplicaProfile>, ProviderError> {
        if let Some(profile) = self.0.profiles.lock().get(account) {
            return Ok(profile.clone());
        }
        let profile = self.load_profile(account).await;
        let profile = profile.map_err(|source| ProviderError::Profile {
            account: account.clone(),
            source,
        })?;
        self.0.profiles.lock().insert(account.clone(), profile.clone());
        Ok(profile)
    }

    async fn load_profile(&self, account: &AccountId) -> Result<Co<ReplicaProfile>, BoxError> {
        let loaded = self.0.node.load_account(account).await?;
        let profile = loaded.profile_id().ok_or("the account has no profile")?;
        Ok(self.0.node.load(&Ref::new(profile)).await?)
    }

    /// Returns what carries calls to one account.
    pub(crate) fn caller(&self, account: AccountId) -> AccountCaller {
        AccountCaller {
            connector: self.clone(),
            account,
        }
    }

    /// Returns where the replica is reached now.
    async fn callee(&self, account: &AccountId) -> Result<Callee, CallError> {
        if let Some((callee, changes)) = self.0.callees.lock().get(account)
            && !changes.has_changed()
        {
            return Ok(callee.clone());
        }
        let profile = self.profile(account).await.map_err(not_made)?;
        let changes = self.0.node.driver().watch(profile.id());
        let callee = self.read_callee(account, &profile)?;
        let reached = (callee.clone(), changes);
        self.0.callees.lock().insert(account.clone(), reached);
        Ok(callee)
    }

    fn read_callee(&self, account: &AccountId, profile: &Co<ReplicaProfile>) -> Result<Callee, CallError> {
        let profile = profile.get().map_err(not_made)?;
        let endpoints = profile.endpoints.unwrap_or_default();
        let endpoint = match self.0.access {
            AccessContext::Internal => endpoints.internal,
            AccessContext::External => endpoints.external,
        };
        let missing = || {
            not_made(format!(
                "the replica `{}` has published no endpoint for this side",
                profile.name
            ))
        };
        let endpoint = endpoint.ok_or_else(missing)?;
        Ok(Callee {
            account: account.clone(),
            endpoint,
            name: profile.name,
        })
    }
}

fn not_made(error: impl Into<BoxError>) -> CallError {
    CallError::Local(error.into())
}

/// Calls one account at the endpoint that it has published by then.
pub(crate) struct AccountCaller {
    connector: Connector,
    account: AccountId,
}

#[async_trait]
impl Caller for AccountCaller {
    async fn call(&self, method: Method<'_>, request: &[u8]) -> Result<Vec<u8>, CallError> {
        let deadline = Instant::now() + method.timeout;
        loop {
            let callee = self.connector.callee(&self.account).await?;
            let answer = self.call_at(&callee, method, request, deadline).await;
            match &answer {
                // A replica that moves is not reached where it was; who calls it then has not heard of it yet.
                Err(CallError::Unanswered(_)) if method.idempotent => {
                    if self.connector.callee(&self.account).await? == callee {
                        return answer;
                    }
                }
                // It is starting or stopping.
                Err(CallError::Refused(error)) if method.idempotent && error.code() == Code::Unavailable => {
                    let Some(wait) = error
                        .retry_after()
                        .filter(|wait| Instant::now() + *wait < deadline)
                    else {
                        return answer;
                    };
                    tokio::time::sleep(wait).await;
                }
                _ => return answer,
            }
        }
    }
}

impl AccountCaller {
    async fn call_at(
        &self,
        callee: &Callee,
        method: Method<'_>,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, CallError> {
        let Method {
            contract,
            name,
            idempotent,
            ..
        } = method;
        let timeout = deadline.saturating_duration_since(Instant::now());
        self.connector
            .0
            .rpc
            .call(callee, contract, name, idempotent, request, timeout)
            .await
    }
}

/// A replica that implements a contract, as a consumer sees it. Cheap to clone.
pub struct Provider<C> {
    connector: Connector,
    account: AccountId,
    contract: PhantomData<fn() -> C>,
}

impl<C: Contract> Provider<C> {
    /// Returns the replica's account.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns a client for the contract's methods. Each call goes where the replica is reached by then.
    pub fn client(&self) -> C::Client {
        ContractClient::typed::<C>(Arc::new(self.connector.caller(self.account.clone())))
    }

    /// Returns the contract's data.
    pub async fn data(&self) -> Result<Co<C::Data>, ProviderError> {
        let (account, contract) = (self.account.clone(), C::identity());
        let id = self.data_id().await?;
        let data = self.connector.0.node.load(&Ref::new(id)).await;
        data.map_err(|source| ProviderError::Data {
            account,
            contract,
            source,
        })
    }

    async fn data_id(&self) -> Result<CoId, ProviderError> {
        let profile = self.connector.profile(&self.account).await?;
        let fault = |source: BoxError| ProviderError::Profile {
            account: self.account.clone(),
            source,
        };
        let missing = || ProviderError::NotImplemented {
            account: self.account.clone(),
            contract: C::identity(),
        };
        let contracts = profile
            .get()
            .map_err(|error| fault(error.into()))?
            .contracts
            .ok_or_else(missing)?;
        let contracts = self
            .connector
            .0
            .node
            .load(&contracts)
            .await
            .map_err(|error| fault(error.into()))?;
        contracts
            .get(C::IDENTITY)
            .map_err(|error| fault(error.into()))?
            .ok_or_else(missing)
    }

    /// Tells whether the replica has granted us this instance of the permission.
    pub async fn check_permission<P: Permission<Contract = C>>(
        &self,
        permission: &P,
    ) -> Result<bool, ProviderError> {
        let grant = self.grant(permission)?;
        Ok(self.granted().await?.contains_key(&grant.grant_key()))
    }

    /// Returns all instances of a permission that the replica has granted us.
    pub async fn permission_instances<P: Permission<Contract = C>>(&self) -> Result<Vec<P>, ProviderError> {
        let granted = self.granted().await?.into_values();
        let of_this_name = granted.filter(|grant| grant.identity == C::IDENTITY && grant.name == P::NAME);
        Ok(of_this_name
            .filter_map(|grant| serde_json::from_value(Value::Object(grant.params)).ok())
            .collect())
    }

    /// Waits until the replica has granted us this instance of the permission.
    pub async fn wait_for_permission<P: Permission<Contract = C>>(
        &self,
        permission: &P,
        within: Duration,
    ) -> Result<(), ProviderError> {
        let grant = self.grant(permission)?;
        self.wait_for_grants(&[grant.grant_key()], within).await
    }

    /// Tells whether the replica has granted us the permission with these params.
    pub(crate) async fn has_exactly<P: Permission<Contract = C>>(
        &self,
        permission: &P,
    ) -> Result<bool, ProviderError> {
        let (key, params) = self.key_and_params(permission)?;
        Ok(self
            .granted()
            .await?
            .get(&key)
            .is_some_and(|grant| grant.params == params))
    }

    /// Waits until the replica has granted us the permission with these params, however long that takes.
    pub(crate) async fn wait_for_exactly<P: Permission<Contract = C>>(
        &self,
        permission: &P,
    ) -> Result<(), ProviderError> {
        let (key, params) = self.key_and_params(permission)?;
        let granted = async {
            let record = self.record_to_come().await?;
            let mut changes = record.subscribe();
            while changes.next().await.is_some() {
                if self
                    .current_grants(&record)?
                    .get(&key)
                    .is_some_and(|grant| grant.params == params)
                {
                    return Ok(());
                }
            }
            Err("the node was shut down".into())
        };
        granted.await.map_err(|source| self.grants_fault(source))
    }

    fn key_and_params<P: Permission<Contract = C>>(
        &self,
        permission: &P,
    ) -> Result<(String, Map<String, Value>), ProviderError> {
        let params = permission
            .params()
            .map_err(|source| self.grants_fault(source.into()))?;
        Ok((self.grant(permission)?.grant_key(), params))
    }

    /// Waits until the replica has granted us everything in the list.
    pub(crate) async fn wait_for_grants(
        &self,
        keys: &[String],
        within: Duration,
    ) -> Result<(), ProviderError> {
        let missing = Mutex::new(keys.first().cloned().unwrap_or_default());
        let all_granted = async {
            let record = self.record_to_come().await?;
            let mut changes = record.subscribe();
            while changes.next().await.is_some() {
                let granted = self.current_grants(&record)?;
                match keys.iter().find(|key| !granted.contains_key(*key)) {
                    Some(key) => missing.lock().clone_from(key),
                    None => break,
                }
            }
            Ok(())
        };
        match tokio::time::timeout(within, all_granted).await {
            Ok(granted) => granted.map_err(|source| self.grants_fault(source)),
            Err(_) => Err(ProviderError::NotGranted {
                account: self.account.clone(),
                permission: missing.into_inner(),
            }),
        }
    }

    /// Waits until the replica has granted us anything at all.
    async fn record_to_come(&self) -> Result<Co<PublishedGrants>, BoxError> {
        let (node, own) = (
            &self.connector.0.node,
            self.connector.0.node.account_id().as_str(),
        );
        let profile = self.connector.profile(&self.account).await?;
        let mut changes = profile.subscribe();
        while changes.next().await.is_some() {
            let Some(index) = profile.get()?.grants else {
                continue;
            };
            let index = node.load(&index).await?;
            let mut changes = index.subscribe();
            while changes.next().await.is_some() {
                if let Some(record) = index.get(own)? {
                    return Ok(node.load(&record).await?);
                }
            }
        }
        Err("the node was shut down".into())
    }

    fn grant<P: Permission<Contract = C>>(&self, permission: &P) -> Result<Grant, ProviderError> {
        let own = self.connector.0.node.account_id();
        Grant::of(own, permission).map_err(|source| self.grants_fault(source.into()))
    }

    async fn granted(&self) -> Result<BTreeMap<String, PublishedGrant>, ProviderError> {
        let found = async {
            let (node, own) = (
                &self.connector.0.node,
                self.connector.0.node.account_id().as_str(),
            );
            let profile = self.connector.profile(&self.account).await?;
            let Some(index) = profile.get()?.grants else {
                return Ok(BTreeMap::new());
            };
            let Some(record) = node.load(&index).await?.get(own)? else {
                return Ok(BTreeMap::new());
            };
            self.current_grants(&node.load(&record).await?)
        };
        found.await.map_err(|source| self.grants_fault(source))
    }

    fn current_grants(
        &self,
        record: &Co<PublishedGrants>,
    ) -> Result<BTreeMap<String, PublishedGrant>, BoxError> {
        let now = self.connector.0.clock.now();
        let counts = |grant: &PublishedGrant| grant.expires_at.is_none_or(|end| now < end);
        Ok(record
            .entries()?
            .into_iter()
            .filter(|(_, grant)| counts(grant))
            .collect())
    }

    fn grants_fault(&self, source: BoxError) -> ProviderError {
        ProviderError::Grants {
            account: self.account.clone(),
            source,
        }
    }
}

impl<C> Clone for Provider<C> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            account: self.account.clone(),
            contract: PhantomData,
        }
    }
}

impl<C: Contract> fmt::Debug for Provider<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({} at {})", C::IDENTITY, self.account)
    }
}
