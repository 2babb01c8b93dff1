//! Permissions that a replica asks for while it runs: the request, what becomes of it, and waiting for that.
//!
//! The replica asks Alpha, who shows the request to administrators. It is asked once: asking again for the same, also
//! after a restart, finds the same request, and a refusal stays one. What is approved lasts as long as the replica uses
//! the requirement, whichever version of it is current.

use std::{sync::Arc, time::Duration};

use jazz::{AccountId, Co, CoId, CoMap, Ref, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    client::ContractClient,
    contract::{BoxError, Permission},
    identity::Identity,
    provider::{Connector, ProviderError},
    requirement::Requirement,
    rpc::{CallError, Code},
};

/// The contract of Alpha, whom every replica may ask.
pub const ALPHA_CONTRACT: &str = "ghcr.io/exeteres/reside/contracts/alpha.v1";
/// The method of that contract that takes requests.
pub const REQUEST_METHOD: &str = "requestPermission";
/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;
/// Wait before Alpha, who doesn't answer, is asked again.
const RETRY: Duration = Duration::from_secs(5);

/// What a replica asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestPermission {
    /// The caller's requirement, by its key: whoever serves it is to grant the permission.
    pub requirement: String,
    /// Name of the permission in the requirement's contract.
    pub permission: String,
    /// Its parameters.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// What for; administrators read it.
    pub reason: String,
}

/// Where the request is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PermissionRequestRef {
    /// Its number.
    pub request_id: u32,
    /// Id of the value, which the caller can read.
    pub value: String,
}

/// A permission that was asked for at run time, and what became of it. Written by Alpha; the account that asked and
/// those who may approve can read it.
#[derive(CoMap, Clone, Debug, PartialEq)]
pub struct RequestedPermission {
    /// Counts from 1.
    pub id: u32,
    /// Who asks.
    pub account: AccountId,
    /// The number of that replica.
    pub replica_id: u32,
    /// Key of its requirement.
    pub requirement: String,
    /// The requirement's contract.
    pub contract: Identity,
    /// Name of the permission in the contract.
    pub permission: String,
    /// Which instance, if the permission has instance keys.
    pub instance_id: Option<String>,
    /// Its params.
    pub params: Map<String, Value>,
    /// What for.
    pub reason: String,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Who decided.
    pub decided_by: Option<AccountId>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// Why it was refused.
    pub refusal_reason: Option<String>,
    /// When what was approved ends.
    pub expires_at: Option<Timestamp>,
}

/// States of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStatus {
    /// Waits for an administrator.
    Pending,
    /// Granted, for ever or for a time.
    Approved,
    /// Refused.
    Rejected,
    /// Granted, and taken back.
    Revoked,
}

/// Why a permission that was asked for isn't there.
#[derive(Debug, thiserror::Error)]
pub enum PermissionRequestError {
    /// An administrator has refused it, or taken it back.
    #[error("the permission {permission} was refused{}", because(.reason))]
    Refused {
        /// Global name of the permission.
        permission: String,
        /// What the administrator said.
        reason: Option<String>,
    },
    /// The control block names no Alpha: whoever made it is older than this replica.
    #[error("the control block doesn't say whom to ask")]
    NobodyToAsk,
    /// The params can't be written as a JSON object.
    #[error("the params of the permission can't be stored")]
    Params(#[from] serde_json::Error),
    /// Alpha refuses to take the request.
    #[error("the permission can't be asked for")]
    NotTaken(#[source] CallError),
    /// The request can't be read.
    #[error("the request can't be read")]
    Unreadable(#[source] BoxError),
    /// The replica that is to grant it can't be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

fn because(reason: &Option<String>) -> String {
    reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}

/// A permission that was asked for.
#[derive(Debug)]
pub struct PermissionRequest<P: Permission> {
    requirement: Requirement<P::Contract>,
    permission: P,
    /// Nothing if it was there already, and nobody had to be asked.
    request: Option<Co<RequestedPermission>>,
}

impl RequestedPermission {
    /// Tells whether it grants anything at this time.
    pub fn is_granted(&self, now: Timestamp) -> bool {
        self.status == RequestStatus::Approved && self.expires_at.is_none_or(|end| now < end)
    }
}

impl<P: Permission> PermissionRequest<P> {
    /// Asks, unless the permission is there with these params.
    pub(crate) async fn make(
        alpha: Option<AccountId>,
        connector: &Connector,
        requirement: &Requirement<P::Contract>,
        permission: &P,
        reason: &str,
    ) -> Result<Self, PermissionRequestError> {
        let made = |request| Self {
            requirement: requirement.clone(),
            permission: permission.clone(),
            request,
        };
        if is_granted(requirement, permission).await {
            return Ok(made(None));
        }
        let alpha = alpha.ok_or(PermissionRequestError::NobodyToAsk)?;
        let asked = RequestPermission {
            requirement: requirement.key.to_string(),
            permission: P::NAME.to_owned(),
            params: permission.params()?,
            reason: reason.to_owned(),
        };
        let PermissionRequestRef { value, .. } = ask(connector, alpha, &asked).await?;
        let id: CoId = value.parse().map_err(unreadable)?;
        let request = connector.node().load(&Ref::new(id)).await.map_err(unreadable)?;
        Ok(made(Some(request)))
    }

    /// Returns the request as it is now; nothing if the permission was there without one.
    pub fn request(&self) -> Result<Option<RequestedPermission>, PermissionRequestError> {
        let request = self.request.as_ref().map(|request| request.get());
        request.transpose().map_err(unreadable)
    }

    /// Waits until an administrator has approved and every replica that serves the requirement has granted it, however
    /// long that takes. A refusal ends the wait, also one from before.
    pub async fn granted(&self) -> Result<(), PermissionRequestError> {
        let Some(request) = &self.request else {
            return Ok(());
        };
        let mut changes = request.subscribe();
        loop {
            let decided = changes
                .wait_for(|request| request.status != RequestStatus::Pending)
                .await;
            let decided = decided.ok_or_else(stopped)?.map_err(unreadable)?;
            if decided.status != RequestStatus::Approved {
                return Err(PermissionRequestError::Refused {
                    permission: crate::permission::global_name(&decided.contract, &decided.permission),
                    reason: decided.refusal_reason,
                });
            }
            tokio::select! {
                granted = self.granted_by_all() => return Ok(granted?),
                other = changes.wait_for(|request| request.status != RequestStatus::Approved) => {
                    other.ok_or_else(stopped)?.map_err(unreadable)?;
                }
            }
        }
    }

    /// Waits until all who serve the requirement have granted it, whoever serves it by then.
    async fn granted_by_all(&self) -> Result<(), ProviderError> {
        let mut served = self.requirement.served_by.subscribe();
        loop {
            let providers = self.requirement.providers();
            let granted = async {
                for provider in &providers {
                    provider.wait_for_exactly(&self.permission).await?;
                }
                Ok(())
            };
            tokio::select! {
                granted = granted, if !providers.is_empty() => return granted,
                change = served.next() => if change.is_none() {
                    // The node was shut down, which the request tells too.
                    return std::future::pending().await;
                }
            }
        }
    }
}

fn unreadable(error: impl Into<BoxError>) -> PermissionRequestError {
    PermissionRequestError::Unreadable(error.into())
}

fn stopped() -> PermissionRequestError {
    unreadable("the replica stops")
}

/// Tells whether all who serve the requirement have granted the permission with these params. If that can't be found out
/// now, Alpha knows.
async fn is_granted<P: Permission>(requirement: &Requirement<P::Contract>, permission: &P) -> bool {
    let providers = requirement.providers();
    for provider in &providers {
        if !provider.has_exactly(permission).await.unwrap_or(false) {
            return false;
        }
    }
    !providers.is_empty()
}

/// Asks until Alpha answers: it may be starting, or be down for a while.
async fn ask(
    connector: &Connector,
    alpha: AccountId,
    asked: &RequestPermission,
) -> Result<PermissionRequestRef, PermissionRequestError> {
    let client = ContractClient::new(
        Identity::from_static(ALPHA_CONTRACT),
        Arc::new(connector.caller(alpha)),
    );
    loop {
        match client.call(REQUEST_METHOD, true, asked).await {
            Ok(taken) => return Ok(taken),
            Err(CallError::Unanswered(problem)) => {
                tracing::warn!(problem, "Alpha does not answer; asking again")
            }
            Err(CallError::Refused(error)) if error.code() == Code::Unavailable => {}
            Err(error) => return Err(PermissionRequestError::NotTaken(error)),
        }
        tokio::time::sleep(RETRY).await;
    }
}
