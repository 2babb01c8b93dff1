//! Makes calls: seals the request, sends it, opens the answer, learns which run of the callee to address.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cojson::ids::AccountId;
use cojson::secrets::AgentSecret;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::error::{CallError, RpcError};
use super::pairs::Pairs;
use super::seal::{NONCE_BYTES, PairKeys, Party};
use super::server::{AgentDirectory, REQUEST_ID_BYTES, now_millis, random};
use super::transport::{Reply, Transport, TransportError};
use super::wire::{CallHeader, Epoch, ErrorBody};
use crate::identity::Identity;

/// How long a call may take, unless said otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts of a call: a callee that restarts, or two instances behind one address, cost one each.
const ATTEMPTS_MAX: u32 = 6;
/// Wait before an idempotent call is tried again; grows with each attempt.
const RETRY_STEP: Duration = Duration::from_millis(100);

/// Where and whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The replica's account.
    pub account: AccountId,
    /// Its name in the cluster.
    pub name: String,
    /// Base URL of its endpoint, without `/replicas/…`.
    pub endpoint: String,
}

impl Callee {
    /// Returns where a method is called.
    pub(crate) fn url(&self, contract: &Identity, method: &str) -> String {
        let encoded = contract.as_str().replace('/', "%2F");
        let endpoint = self.endpoint.trim_end_matches('/');
        format!("{endpoint}/replicas/{}/rpc/{encoded}/{method}", self.name)
    }
}

/// Makes calls in the name of one account. Cheap to clone.
#[derive(Clone)]
pub struct RpcClient(Arc<Inner>);

struct Inner {
    me: Party,
    /// Absent once the account has been logged out.
    secret: Mutex<Option<AgentSecret>>,
    directory: Arc<dyn AgentDirectory>,
    transport: Arc<dyn Transport>,
    pairs: Pairs,
    epochs: Mutex<HashMap<AccountId, Epoch>>,
}

/// What one attempt ended in, short of an answer.
enum Failure {
    /// The callee didn't run the method and said so under seal: try again at once.
    OtherEpoch(Epoch),
    /// The callee didn't run the method and said so under seal, because it starts, stops or is busy: try again a
    /// little later.
    NotRun(RpcError),
    /// It may or may not have run.
    Unknown(TransportError),
    Final(CallError),
}

impl RpcClient {
    /// Makes a client that acts for the account.
    pub fn new(
        account: AccountId,
        secret: AgentSecret,
        directory: Arc<dyn AgentDirectory>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let me = Party {
            account,
            agent: secret.id().clone(),
        };
        let (pairs, epochs) = (Pairs::default(), Mutex::default());
        Self(Arc::new(Inner {
            me,
            secret: Mutex::new(Some(secret)),
            directory,
            transport,
            pairs,
            epochs,
        }))
    }

    /// Forgets the account's secret and all keys made with it; no clone of the client makes a call any more.
    pub fn log_out(&self) {
        *self.0.secret.lock() = None;
        self.0.pairs.clear();
    }

    fn keys_with(&self, them: &Party) -> Result<PairKeys, CallError> {
        // Held while keys are made, so that none are kept after a log-out has forgotten them.
        let secret = self.0.secret.lock();
        let secret = secret
            .as_ref()
            .ok_or_else(|| CallError::Local("the account was logged out".into()))?;
        self.0
            .pairs
            .between(secret, &them.agent, &self.0.me, them)
            .map_err(|error| CallError::Local(Box::new(error)))
    }

    /// Calls a method with the JSON of its request; returns the JSON of the response.
    ///
    /// An idempotent method is called again when it is unknown whether the call arrived; any other only when the
    /// callee has said under seal that it did not run it: it is another run than the one that was addressed, or it is
    /// starting or stopping.
    pub async fn call(
        &self,
        callee: &Callee,
        contract: &Identity,
        method: &str,
        idempotent: bool,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let deadline = Instant::now() + timeout;
        let agent = self.0.directory.current_agent(&callee.account).await?;
        let them = Party {
            account: callee.account.clone(),
            agent,
        };
        let keys = self.keys_with(&them)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let once = self.attempt(callee, &keys, contract, method, request, deadline);
            match once.await {
                Ok(response) => return Ok(response),
                Err(Failure::OtherEpoch(epoch)) if attempt < ATTEMPTS_MAX => {
                    self.0.epochs.lock().insert(callee.account.clone(), epoch);
                }
                Err(Failure::OtherEpoch(_)) => {
                    return Err(CallError::Unanswered("the callee keeps restarting".to_owned()));
                }
                Err(Failure::NotRun(error)) => {
                    let wait = RETRY_STEP * attempt;
                    if attempt >= ATTEMPTS_MAX || Instant::now() + wait >= deadline {
                        return Err(CallError::Refused(error));
                    }
                    tokio::time::sleep(wait).await;
                }
                Err(Failure::Unknown(error)) => {
                    let wait = RETRY_STEP * attempt;
                    let may_retry = idempotent || error.never_sent();
                    if !may_retry || attempt >= ATTEMPTS_MAX || Instant::now() + wait >= deadline {
                        return Err(CallError::Unanswered(error.to_string()));
                    }
                    tokio::time::sleep(wait).await;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        callee: &Callee,
        keys: &PairKeys,
        contract: &Identity,
        method: &str,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let epoch = self
            .0
            .epochs
            .lock()
            .get(&callee.account)
            .cloned()
            .unwrap_or_default();
        let random = random::<{ REQUEST_ID_BYTES + NONCE_BYTES }>();
        let (request_id, nonce) = random.split_at(REQUEST_ID_BYTES);
        let header = CallHeader::new(
            self.0.me.account.clone(),
            self.0.me.agent.clone(),
            callee.account.clone(),
            epoch,
            now_millis(),
            deadline.saturating_duration_since(Instant::now()),
            hex::encode(request_id),
            nonce.try_into().expect("split where the nonce begins"),
        );
        let sealed = keys.seal_request(&header, contract, method, request);
        let url = callee.url(contract, method);
        let sending = self.0.transport.post(url, header.as_str().to_owned(), sealed);
        let reply = match timeout_at(deadline, sending).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(Failure::Unknown(error)),
            Err(_) => return Err(Failure::Unknown(TransportError::timeout())),
        };
        read_reply(keys, &header, &reply)
    }
}

fn read_reply(keys: &PairKeys, header: &CallHeader, reply: &Reply) -> Result<Vec<u8>, Failure> {
    if !reply.is_sealed {
        // Nobody vouches for this: good enough to tell the user, not to conclude that the method did not run.
        return Err(match serde_json::from_slice::<ErrorBody>(&reply.body) {
            Ok(error) if reply.status != 503 => Failure::Final(CallError::Refused(error.into_error())),
            Ok(error) => Failure::Unknown(TransportError::unavailable(error.message)),
            Err(_) => Failure::Unknown(TransportError::unavailable(format!(
                "HTTP status {}",
                reply.status
            ))),
        });
    }
    let opened = keys
        .open_response(header, reply.status, &reply.body)
        .map_err(|error| Failure::Final(CallError::Local(Box::new(error))))?;
    if reply.status == 200 {
        return Ok(opened);
    }
    let error: ErrorBody = serde_json::from_slice(&opened)
        .map_err(|error| Failure::Final(CallError::invalid_response(error)))?;
    Err(match &error.epoch {
        Some(epoch) => Failure::OtherEpoch(epoch.clone()),
        None if error.not_run && error.code == 503 => Failure::NotRun(error.into_error()),
        None => Failure::Final(CallError::Refused(error.into_error())),
    })
}
