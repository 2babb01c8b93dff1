//! Calls methods in the Jazz form, of callees that speak no other: handlers of `experimental_defineRequest` in TypeScript.

use async_trait::async_trait;
use jazz::Node;
use jazz::request::{OutgoingRequest, RequestError, SendError};
use serde_json::{Map, Value, json};

use super::client::Callee;
use super::error::{CallError, RpcError};
use super::jazz_form::{CALL_FIELD, from_fields};
use super::transport::HttpTransport;
use crate::client::{Caller, Method};

/// Carries calls to one callee in the Jazz form. Every call leaves two maps and two groups behind, and none is tried again.
pub struct JazzCaller {
    node: Node,
    callee: Callee,
    transport: HttpTransport,
}

impl JazzCaller {
    /// Calls as the account of the node.
    pub fn new(node: Node, callee: Callee) -> Self {
        Self {
            node,
            callee,
            transport: HttpTransport::default(),
        }
    }

    async fn send(&self, method: Method<'_>, fields: Map<String, Value>) -> Result<Vec<u8>, CallError> {
        let request = OutgoingRequest::of_fields(&self.node, &self.callee.account, fields).await;
        let request = request.map_err(|error| CallError::Local(Box::new(error)))?;
        let url = self.callee.url(method.contract, method.name);
        let answer = self.transport.post_json(&url, request.body().to_vec()).await;
        let answer = answer.map_err(|error| CallError::Unanswered(error.to_string()))?;
        match request.response_fields(&answer).await {
            Ok(fields) => Ok(from_fields(fields).to_string().into_bytes()),
            Err(SendError::Refused(error)) => Err(refused(error).into()),
            Err(SendError::Failed(status)) => Err(CallError::Unanswered(format!("HTTP status {status}"))),
            Err(error) => Err(CallError::Local(Box::new(error))),
        }
    }
}

#[async_trait]
impl Caller for JazzCaller {
    async fn call(&self, method: Method<'_>, request: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut fields: Map<String, Value> =
            serde_json::from_slice(request).map_err(CallError::invalid_request)?;
        fields.retain(|_, value| !value.is_null());
        let called = format!("{}/{}", method.contract, method.name);
        fields.insert(CALL_FIELD.to_owned(), json!(called));
        let timeout = method.timeout;
        match tokio::time::timeout(timeout, self.send(method, fields)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Unanswered("the deadline has passed".to_owned())),
        }
    }
}

fn refused(error: RequestError) -> RpcError {
    let RequestError {
        message,
        code,
        details,
    } = error;
    RpcError::received(code, message, details, None)
}
