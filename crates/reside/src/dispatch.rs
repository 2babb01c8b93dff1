//! The table of methods of a served contract: from the name and JSON of a call to the service and back.

use std::{collections::HashMap, fmt, future::Future, sync::Arc};

use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    contract::Contract,
    identity::Identity,
    rpc::{Call, RpcError, RpcResult},
};

type Handler = Arc<dyn Fn(Call, &[u8]) -> BoxFuture<'static, RpcResult<Vec<u8>>> + Send + Sync>;

/// The methods of one contract, bound to the service that implements it. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    contract: Identity,
    methods: HashMap<&'static str, Handler>,
}

impl Dispatch {
    /// Makes the table of a contract, without methods yet.
    pub fn new<C: Contract>() -> Self {
        Self::of(C::identity())
    }

    pub(crate) fn of(contract: Identity) -> Self {
        Self {
            contract,
            methods: HashMap::new(),
        }
    }

    /// Adds a method under its name on the wire.
    #[must_use]
    pub fn method<S, Q, A, F, Fut>(mut self, name: &'static str, service: &Arc<S>, method: F) -> Self
    where
        S: Send + Sync + 'static,
        Q: DeserializeOwned + Send + 'static,
        A: Serialize,
        F: Fn(Arc<S>, Call, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = RpcResult<A>> + Send + 'static,
    {
        let service = service.clone();
        let handler = move |call: Call, body: &[u8]| -> BoxFuture<'static, RpcResult<Vec<u8>>> {
            match parse::<Q>(body) {
                Ok(request) => {
                    let answer = method(service.clone(), call, request);
                    Box::pin(async move { serde_json::to_vec(&answer.await?).map_err(RpcError::internal) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        self.methods.insert(name, Arc::new(handler));
        self
    }

    /// Returns the contract.
    pub fn contract(&self) -> &Identity {
        &self.contract
    }

    /// Tells whether the contract has the method.
    pub fn has_method(&self, name: &str) -> bool {
        self.methods.contains_key(name)
    }

    /// Calls a method with the JSON of its request; returns the JSON of the response.
    ///
    /// Dropping the future cancels the handler at its next await.
    pub fn call(&self, name: &str, call: Call, body: &[u8]) -> BoxFuture<'static, RpcResult<Vec<u8>>> {
        match self.methods.get(name) {
            Some(handler) => handler(call, body),
            None => Box::pin(std::future::ready(Err(self.no_method(name)))),
        }
    }

    /// Returns the error for a method that the contract doesn't have.
    pub(crate) fn no_method(&self, name: &str) -> RpcError {
        RpcError::not_found(format!(
            "{} has no method `{}`",
            self.contract,
            name.escape_debug()
        ))
    }
}

/// Reads a request; the error names the field that doesn't fit.
fn parse<Q: DeserializeOwned>(body: &[u8]) -> RpcResult<Q> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        // Where it is in the text says nothing to a caller whose client wrote the text.
        let problem = problem.split(" at line ").next().unwrap_or_default();
        RpcError::malformed(match path.as_str() {
            "." => format!("the request doesn't fit: {problem}"),
            path => format!("the request doesn't fit: `{path}`: {problem}"),
        })
    })?;
    json.end()
        .map_err(|_| RpcError::malformed("the request has something behind its end"))?;
    Ok(request)
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dispatch({}, {} methods)", self.contract, self.methods.len())
    }
}
