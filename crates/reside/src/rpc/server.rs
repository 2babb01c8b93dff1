//! Answers calls: finds out who calls, refuses what is forged, stale or repeated, runs the method, seals the answer.
//! Requests in the Jazz form go to [`jazz_form`](super::jazz_form).

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cojson::header::Header;
use cojson::ids::{AccountId, AgentId};
use cojson::secrets::AgentSecret;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use jazz::request::Receiver;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::call::Call;
use super::error::{RpcError, RpcResult};
use super::jazz_form;
use super::pairs::Pairs;
use super::replay::{Refusal, Replays, check_time};
use super::seal::{NONCE_BYTES, PairKeys, Party};
use super::wire::{CALL_HEADER, CallHeader, Epoch, ErrorBody, SEALED};
use crate::dispatch::Dispatch;
use crate::identity::Identity;

/// Longest body of a call.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most calls that are answered at once.
const CALLS_MAX: usize = 256;
/// Longest time a caller may ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Bytes of what names a call in logs.
pub(super) const REQUEST_ID_BYTES: usize = 8;
/// How long a caller should wait before it tries again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Finds the keys that act for an account.
pub trait AgentDirectory: Send + Sync + 'static {
    /// Returns the account's current agent; refuses one that is unknown or was revoked.
    fn current_agent<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<AgentId, RpcError>>;
}

/// Waits until what a method wrote is durable. Answers leave only then.
pub type Settle = Arc<dyn Fn() -> BoxFuture<'static, Result<(), RpcError>> + Send + Sync>;

/// The methods of one replica, reachable by sealed calls. Cheap to clone.
#[derive(Clone)]
pub struct RpcServer(Arc<Inner>);

struct Inner {
    replica: String,
    me: Party,
    secret: AgentSecret,
    epoch: Epoch,
    directory: Arc<dyn AgentDirectory>,
    settle: Settle,
    pairs: Pairs,
    replays: Mutex<Replays>,
    contracts: RwLock<HashMap<Identity, Dispatch>>,
    /// Contracts this replica implements, served yet or not.
    implemented: Vec<Identity>,
    calls: Arc<Semaphore>,
    running: TaskTracker,
    /// Takes requests in the Jazz form.
    requests: OnceLock<Receiver>,
}

/// A call that may be made now, and the methods of its contract.
pub(super) struct Admitted {
    methods: Dispatch,
    _permit: OwnedSemaphorePermit,
}

impl RpcServer {
    /// Makes a server that answers 503 until its contracts are [served](Self::serve).
    pub fn new(
        replica: String,
        account: AccountId,
        secret: AgentSecret,
        implemented: Vec<Identity>,
        directory: Arc<dyn AgentDirectory>,
        settle: Settle,
    ) -> Self {
        let me = Party {
            account,
            agent: secret.id().clone(),
        };
        Self(Arc::new(Inner {
            replica,
            me,
            secret,
            epoch: hex::encode(random::<16>()),
            directory,
            settle,
            pairs: Pairs::default(),
            replays: Mutex::default(),
            contracts: RwLock::default(),
            implemented,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            running: TaskTracker::new(),
            requests: OnceLock::new(),
        }))
    }

    /// Accepts requests in the Jazz form too, by what takes them for our account.
    pub fn accept_jazz_form(&self, requests: Receiver) {
        // Set once, when the replica starts; another one would be for the same account.
        let _ = self.0.requests.set(requests);
    }

    /// Returns what takes requests in the Jazz form, if they are accepted.
    pub(super) fn requests(&self) -> Option<&Receiver> {
        self.0.requests.get()
    }

    /// Starts to answer the calls of a contract.
    pub fn serve(&self, methods: Dispatch) {
        self.0
            .contracts
            .write()
            .insert(methods.contract().clone(), methods);
    }

    /// Tells whether every implemented contract is served.
    pub fn is_ready(&self) -> bool {
        let contracts = self.0.contracts.read();
        !self.0.running.is_closed()
            && self
                .0
                .implemented
                .iter()
                .all(|contract| contracts.contains_key(contract))
    }

    /// Refuses new calls and waits until those under way are answered.
    pub async fn drain(&self) {
        self.0.running.close();
        self.0.running.wait().await;
    }

    /// Returns the routes: `POST /replicas/{name}/rpc/…`, and `GET /replicas/{name}/readyz` for probes.
    pub fn router(&self) -> Router {
        let prefix = format!("/replicas/{}", self.0.replica);
        Router::new()
            .route(
                &format!("{prefix}/rpc/{{*method}}"),
                post(receive).options(jazz_form::preflight),
            )
            .route(&format!("{prefix}/readyz"), get(ready))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    /// Answers one call: the header, the path below `rpc/`, and the sealed body. While the replica stops, it says under
    /// seal that it has not run the method, so that the caller may try another instance.
    async fn answer(
        &self,
        header: &CallHeader,
        target: &str,
        body: &[u8],
        is_stopping: bool,
    ) -> Result<Answer, RpcError> {
        let fields = header.fields();
        let keys = self.authenticate(header).await?;
        let (contract, method) = parse_target(target)?;
        let request = keys
            .open_request(header, &contract, method, body)
            .map_err(|_| RpcError::not_authenticated("the call is not sealed by the account it names"))?;
        if is_stopping {
            return Ok(Answer::of_not_run(header, &keys, &stopping()));
        }
        if fields.epoch != self.0.epoch {
            return Ok(Answer::of_other_epoch(header, &keys, &self.0.epoch));
        }
        let now = now_millis();
        self.0
            .replays
            .lock()
            .accept(*header.nonce(), now)
            .map_err(refused)?;
        let admitted = match self.admit(&contract) {
            Ok(admitted) => admitted,
            Err(error) => return Ok(Answer::of_not_run(header, &keys, &error)),
        };
        let result = self.run(header, admitted, method, request, now).await;
        Ok(Answer::of(header, &keys, result))
    }

    /// Finds the keys between the caller and us; the seal proves that the caller has its half.
    async fn authenticate(&self, header: &CallHeader) -> Result<PairKeys, RpcError> {
        let fields = header.fields();
        if fields.callee != self.0.me.account {
            return Err(RpcError::not_authenticated("the call is for another account"));
        }
        check_time(fields.made_at, now_millis()).map_err(refused)?;
        if self.0.directory.current_agent(&fields.caller).await? != fields.agent {
            return Err(RpcError::not_authenticated(
                "these are not the current keys of the account",
            ));
        }
        let caller = Party {
            account: fields.caller.clone(),
            agent: fields.agent.clone(),
        };
        if let Some(keys) = self.0.pairs.known(&caller, &self.0.me) {
            return Ok(keys);
        }
        // An account is the hash of the agent it was made for, whatever the directory says.
        if Header::account(&fields.agent).id() != fields.caller.as_co_id() {
            return Err(RpcError::not_authenticated(
                "these are not the keys of the account",
            ));
        }
        self.0
            .pairs
            .between(&self.0.secret, &fields.agent, &caller, &self.0.me)
            .map_err(|_| RpcError::not_authenticated("these keys can't be used"))
    }

    async fn run(
        &self,
        header: &CallHeader,
        admitted: Admitted,
        method: &str,
        request: Vec<u8>,
        now: u64,
    ) -> RpcResult<Vec<u8>> {
        let fields = header.fields();
        let left = fields.made_at.saturating_add(fields.timeout).saturating_sub(now);
        let deadline = Instant::now() + Duration::from_millis(left).min(TIMEOUT_MAX);
        let call = Call::new(fields.caller.clone(), fields.request_id.clone(), deadline);
        self.execute(admitted, method, call, &request).await
    }

    /// Finds the methods of a contract, and room for one more call.
    pub(super) fn admit(&self, contract: &Identity) -> RpcResult<Admitted> {
        let Ok(permit) = self.0.calls.clone().try_acquire_owned() else {
            return Err(RpcError::unavailable("too many calls at once", RETRY_AFTER));
        };
        let methods = self.0.contracts.read().get(contract).cloned();
        match methods {
            Some(methods) => Ok(Admitted {
                methods,
                _permit: permit,
            }),
            None if self.0.implemented.contains(contract) => {
                Err(RpcError::unavailable("the replica is starting", RETRY_AFTER))
            }
            None => Err(RpcError::not_found(format!(
                "this replica does not implement {contract}"
            ))),
        }
    }

    /// Runs a method; returns when what it wrote is durable.
    pub(super) async fn execute(
        &self,
        admitted: Admitted,
        method: &str,
        call: Call,
        request: &[u8],
    ) -> RpcResult<Vec<u8>> {
        let (methods, deadline) = (&admitted.methods, call.deadline());
        let span = tracing::info_span!(
            "call", replica = self.0.replica, contract = %methods.contract(), method, account = %call.made_by(),
            request = call.request_id()
        );
        let handling = AssertUnwindSafe(async { methods.call(method, call, request).await }).catch_unwind();
        let settle = &self.0.settle;
        async {
            let result = match timeout_at(deadline, handling).await {
                Ok(Ok(Ok(response))) => settle().await.map(|()| response),
                Ok(Ok(Err(error))) => Err(error),
                Ok(Err(_)) => Err(RpcError::internal("the method panicked")),
                Err(_) => Err(RpcError::unavailable(
                    "the deadline of the call has passed",
                    RETRY_AFTER,
                )),
            };
            if let Err(error) = &result {
                error.log();
            }
            result
        }
        .instrument(span)
        .await
    }
}

impl Admitted {
    /// Refuses a method that the contract doesn't have.
    pub(super) fn check_method(&self, method: &str) -> RpcResult<()> {
        match self.methods.has_method(method) {
            true => Ok(()),
            false => Err(self.methods.no_method(method)),
        }
    }
}

/// A sealed answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
    retry_after: Option<Duration>,
}

impl Answer {
    fn of(header: &CallHeader, keys: &PairKeys, result: RpcResult<Vec<u8>>) -> Self {
        match result {
            Ok(response) => Self::sealed(header, keys, 200, &response, None),
            Err(error) => {
                let body = ErrorBody::of(&error, Some(&header.fields().request_id));
                Self::of_error(header, keys, &body, error.retry_after())
            }
        }
    }

    fn of_other_epoch(header: &CallHeader, keys: &PairKeys, epoch: &Epoch) -> Self {
        let error = RpcError::unavailable("the call is for another run of the replica", Duration::ZERO);
        let body = ErrorBody {
            epoch: Some(epoch.clone()),
            ..ErrorBody::of(&error, None)
        };
        Self::of_error(header, keys, &body, None)
    }

    fn of_not_run(header: &CallHeader, keys: &PairKeys, error: &RpcError) -> Self {
        error.log();
        let body = ErrorBody {
            not_run: true,
            ..ErrorBody::of(error, Some(&header.fields().request_id))
        };
        Self::of_error(header, keys, &body, error.retry_after())
    }

    fn of_error(
        header: &CallHeader,
        keys: &PairKeys,
        body: &ErrorBody,
        retry_after: Option<Duration>,
    ) -> Self {
        let json = serde_json::to_vec(body).unwrap_or_default();
        Self::sealed(header, keys, body.code, &json, retry_after)
    }

    fn sealed(
        header: &CallHeader,
        keys: &PairKeys,
        status: u16,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let body = keys.seal_response(header, status, &random::<NONCE_BYTES>(), body);
        Self {
            status,
            body,
            retry_after,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(SEALED));
        set_retry_after(&mut response, self.retry_after);
        response
    }
}

/// An answer to somebody who isn't known: in clear, and saying little.
fn in_clear(error: &RpcError) -> Response {
    error.log();
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(ErrorBody::of(error, None))).into_response();
    set_retry_after(&mut response, error.retry_after());
    response
}

pub(super) fn set_retry_after(response: &mut Response, wait: Option<Duration>) {
    if let Some(wait) = wait {
        let seconds = wait.as_secs_f64().ceil() as u64;
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

async fn ready(State(server): State<RpcServer>) -> Response {
    if server.is_ready() {
        "ready\n".into_response()
    } else {
        in_clear(&RpcError::unavailable("not ready", RETRY_AFTER))
    }
}

async fn receive(State(server): State<RpcServer>, Path(target): Path<String>, request: Request) -> Response {
    // A call under way is counted even if its caller hangs up: the token lives in the tracked task. It is taken before
    // the look: whoever waits for all calls to end then waits for this one too, or it is refused.
    let token = server.0.running.token();
    let is_stopping = server.0.running.is_closed();
    let answered = match server.requests() {
        Some(_) if is_stopping && jazz_form::is_meant(&request) => jazz_form::refuse(&stopping(), None),
        Some(requests) if jazz_form::is_meant(&request) => {
            jazz_form::answer(&server, requests, &target, request).await
        }
        _ => {
            let answered = answer_http(&server, &target, request, is_stopping).await;
            answered.unwrap_or_else(|error| in_clear(&error))
        }
    };
    drop(token);
    answered
}

fn stopping() -> RpcError {
    RpcError::unavailable("the replica is stopping", RETRY_AFTER)
}

async fn answer_http(
    server: &RpcServer,
    target: &str,
    request: Request,
    is_stopping: bool,
) -> Result<Response, RpcError> {
    let (parts, body) = request.into_parts();
    let value = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if value(header::CONTENT_TYPE.as_str()) != Some(SEALED) {
        return Err(RpcError::malformed(format!(
            "the content type of a call is `{SEALED}`"
        )));
    }
    let header = value(CALL_HEADER)
        .ok_or_else(|| RpcError::malformed(format!("the header `{CALL_HEADER}` is missing")))?;
    let header = CallHeader::parse(header)?;
    let body = read_body(body).await?;
    let answer = server.answer(&header, target, &body, is_stopping).await?;
    Ok(answer.into_response())
}

/// Reads a body of bounded length.
pub(super) async fn read_body(body: Body) -> RpcResult<Bytes> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(RpcError::malformed(format!(
            "the body is longer than {BODY_BYTES_MAX} bytes"
        ))),
        Err(_) => Err(RpcError::malformed("the body broke off")),
    }
}

/// Splits `{contract}/{method}`; the contract's slashes may or may not have been percent-encoded.
pub(super) fn parse_target(target: &str) -> Result<(Identity, &str), RpcError> {
    let not_found = || RpcError::not_found("the path is /replicas/{name}/rpc/{contract}/{method}");
    let (contract, method) = target.rsplit_once('/').ok_or_else(not_found)?;
    Ok((contract.parse().map_err(|_| not_found())?, method))
}

fn refused(refusal: Refusal) -> RpcError {
    match refusal {
        Refusal::OutOfTime => RpcError::not_authenticated("the time of the call is more than 60 s from ours"),
        Refusal::Replayed => RpcError::not_authenticated("the call was made before"),
        Refusal::Full => RpcError::unavailable("too many calls", RETRY_AFTER),
    }
}

/// Returns random bytes of the operating system.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// Returns milliseconds since 1970.
pub(super) fn now_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
