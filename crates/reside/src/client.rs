//! Calling a contract's methods, wherever the callee is. The generated clients wrap a [`ContractClient`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    contract::Contract,
    identity::Identity,
    rpc::{CallError, TIMEOUT},
};

/// The method that is called, and how.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a> {
    /// The contract that has the method.
    pub contract: &'a Identity,
    /// Its name on the wire.
    pub name: &'a str,
    /// It may be called again when it is unknown whether the call arrived.
    pub idempotent: bool,
    /// How long to wait for the response.
    pub timeout: Duration,
}

/// What carries calls to one callee: native RPC, or a double in a test.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Calls the method with the JSON of its request; returns the JSON of the response.
    async fn call(&self, method: Method<'_>, request: &[u8]) -> Result<Vec<u8>, CallError>;
}

/// Calls the methods of one contract on one callee. Cheap to clone.
#[derive(Clone)]
pub struct ContractClient {
    caller: Arc<dyn Caller>,
    contract: Identity,
    timeout: Duration,
}

impl ContractClient {
    /// Makes the client of a contract over whatever carries its calls.
    pub fn new(contract: Identity, caller: Arc<dyn Caller>) -> Self {
        Self {
            caller,
            contract,
            timeout: TIMEOUT,
        }
    }

    /// Makes the typed client of a contract over whatever carries its calls.
    pub fn typed<C: Contract>(caller: Arc<dyn Caller>) -> C::Client {
        Self::new(C::identity(), caller).into()
    }

    /// Waits at most that long for each response.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Calls a method by its name on the wire.
    ///
    /// Dropping the future gives the call up; the callee may have carried it out or not.
    pub async fn call<Q, A>(&self, method: &str, idempotent: bool, request: &Q) -> Result<A, CallError>
    where
        Q: Serialize + Sync + ?Sized,
        A: DeserializeOwned,
    {
        let request = serde_json::to_vec(request).map_err(CallError::invalid_request)?;
        let method = Method {
            contract: &self.contract,
            name: method,
            idempotent,
            timeout: self.timeout,
        };
        let response = self.caller.call(method, &request).await?;
        serde_json::from_slice(&response).map_err(CallError::invalid_response)
    }

    /// Returns the contract.
    pub fn contract(&self) -> &Identity {
        &self.contract
    }
}

impl fmt::Debug for ContractClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContractClient({})", self.contract)
    }
}
