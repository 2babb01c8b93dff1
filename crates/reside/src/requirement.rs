//! A contract that a replica uses: which replicas serve it, and the way to them.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use jazz::{AccountId, Co, CoRecord};

use crate::{
    client::{Caller, ContractClient, Method},
    contract::{Contract, Permission},
    provider::{Connector, Provider, ProviderError},
    rpc::CallError,
};

/// How long [`Requirement::wait_until_granted`] waits.
const GRANT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a requirement can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// The definition has no such requirement, or it is of another contract.
    #[error("the replica does not require {contract} as `{key}`")]
    NotDefined {
        /// Key of the requirement.
        key: String,
        /// Identity of the contract.
        contract: &'static str,
    },
    /// No replica serves it.
    #[error("no replica serves the requirement `{key}`")]
    NotServed {
        /// Key of the requirement.
        key: String,
    },
    /// The replica that serves it can't be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// A contract that this replica uses. Cheap to clone.
///
/// Which replicas serve it stands in the control block and may change at any time; each use looks there.
pub struct Requirement<C> {
    pub(crate) key: Arc<str>,
    pub(crate) connector: Connector,
    pub(crate) served_by: Co<CoRecord<Vec<AccountId>>>,
    /// Keys of the permissions that the manifest asks for.
    pub(crate) requested: Arc<[String]>,
    pub(crate) contract: PhantomData<fn() -> C>,
}

impl<C: Contract> Requirement<C> {
    /// Returns the accounts of the replicas that serve the requirement now.
    pub fn accounts(&self) -> Vec<AccountId> {
        served_by(&self.served_by, &self.key)
    }

    /// Returns the replica that serves the requirement; the first if there are several.
    pub fn provider(&self) -> Result<Provider<C>, RequirementError> {
        let first = self.accounts().into_iter().next();
        let account = first.ok_or_else(|| RequirementError::NotServed {
            key: self.key.to_string(),
        })?;
        Ok(self.connector.provider(account))
    }

    /// Returns all replicas that serve the requirement.
    pub fn providers(&self) -> Vec<Provider<C>> {
        self.accounts()
            .into_iter()
            .map(|account| self.connector.provider(account))
            .collect()
    }

    /// Returns a client for the contract's methods. Each call goes to the replica that serves the requirement by then.
    pub fn client(&self) -> C::Client {
        let (key, connector, served_by) = (self.key.clone(), self.connector.clone(), self.served_by.clone());
        ContractClient::typed::<C>(Arc::new(FirstProvider {
            key,
            connector,
            served_by,
        }))
    }

    /// Returns a client for each replica that serves the requirement.
    pub fn clients(&self) -> Vec<C::Client> {
        self.providers().iter().map(Provider::client).collect()
    }

    /// Returns the contract's data.
    pub async fn data(&self) -> Result<Co<C::Data>, RequirementError> {
        Ok(self.provider()?.data().await?)
    }

    /// Tells whether this instance of the permission is granted to us.
    pub async fn check_permission<P: Permission<Contract = C>>(
        &self,
        permission: &P,
    ) -> Result<bool, RequirementError> {
        Ok(self.provider()?.check_permission(permission).await?)
    }

    /// Returns all instances of a permission that are granted to us.
    pub async fn permission_instances<P: Permission<Contract = C>>(
        &self,
    ) -> Result<Vec<P>, RequirementError> {
        Ok(self.provider()?.permission_instances().await?)
    }

    /// Waits until all permissions that the manifest asks for are granted to us; at most half a minute.
    ///
    /// They are approved with the load request, but the replicas that serve the requirement carry them out in their own
    /// time. Who uses them right at the start waits here first.
    pub async fn wait_until_granted(&self) -> Result<(), RequirementError> {
        for provider in self.providers() {
            provider.wait_for_grants(&self.requested, GRANT_TIMEOUT).await?;
        }
        Ok(())
    }
}

/// Returns the accounts that a control block names for a requirement.
pub(crate) fn served_by(requirements: &Co<CoRecord<Vec<AccountId>>>, key: &str) -> Vec<AccountId> {
    requirements
        .get(key)
        .unwrap_or_else(|error| {
            tracing::error!(%error, key, "the requirements in the control block can't be read");
            None
        })
        .unwrap_or_default()
}

struct FirstProvider {
    key: Arc<str>,
    connector: Connector,
    served_by: Co<CoRecord<Vec<AccountId>>>,
}

#[async_trait]
impl Caller for FirstProvider {
    async fn call(&self, method: Method<'_>, request: &[u8]) -> Result<Vec<u8>, CallError> {
        match served_by(&self.served_by, &self.key).into_iter().next() {
            Some(account) => self.connector.caller(account).call(method, request).await,
            None => Err(CallError::Local(
                RequirementError::NotServed {
                    key: self.key.to_string(),
                }
                .into(),
            )),
        }
    }
}

impl<C> Clone for Requirement<C> {
    fn clone(&self) -> Self {
        let (key, connector, served_by) = (self.key.clone(), self.connector.clone(), self.served_by.clone());
        Self {
            key,
            connector,
            served_by,
            requested: self.requested.clone(),
            contract: PhantomData,
        }
    }
}

impl<C: Contract> fmt::Debug for Requirement<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement(`{}`: {})", self.key, C::IDENTITY)
    }
}
