//! Native RPC as a hostile network sees it: real envelopes, changed on their way. In modules: the Jazz form.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod docs;
mod https;
mod jazz_form;
mod jazz_tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use cojson::header::Header;
use cojson::ids::{AccountId, AgentId};
use cojson::secrets::{AgentSecret, SecretSeed};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use reside::Contract as _;
use reside::dispatch::Dispatch;
use reside::prelude::*;
use reside::rpc::seal::{PairKeys, Party};
use reside::rpc::wire::{CALL_HEADER, CallHeader, SEALED};
use reside::rpc::{
    AgentDirectory, BODY_BYTES_MAX, Callee, Code, Reply, RpcClient, RpcServer, Transport, TransportError,
};
use tower::ServiceExt as _;

const ENDPOINT: &str = "memory://callee";
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(CoMap, Clone, Debug)]
struct NoData {}

impl Migrate for NoData {
    async fn init(_: &Node, _: &Group) -> Result<Self, BoxError> {
        Ok(Self {})
    }
}

#[contract(identity = "example.org/contracts/echo.v1", data = NoData, en("Echo", ""), ru("Эхо", ""))]
trait Echo {
    #[method(en("Echo", ""), ru("Эхо", ""))]
    async fn echo(&self, call: &Call, request: Text) -> RpcResult<Text>;
    #[method(en("Panic", ""), ru("Паника", ""))]
    async fn panic(&self, call: &Call, request: Text) -> RpcResult<Text>;
    #[method(en("Never", ""), ru("Никогда", ""))]
    async fn never(&self, call: &Call, request: Text) -> RpcResult<Text>;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Text {
    text: String,
}

#[derive(Clone, Default)]
struct Service(Arc<AtomicU32>);

impl Echo for Service {
    async fn echo(&self, call: &Call, request: Text) -> RpcResult<Text> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Text {
            text: format!("{} from {}", request.text, call.made_by()),
        })
    }

    async fn panic(&self, _: &Call, _: Text) -> RpcResult<Text> {
        panic!("as asked")
    }

    async fn never(&self, _: &Call, _: Text) -> RpcResult<Text> {
        std::future::pending().await
    }
}

fn secret(seed: u8) -> AgentSecret {
    AgentSecret::from_seed(&SecretSeed::from_bytes([seed; 32]))
}

fn account(secret: &AgentSecret) -> AccountId {
    Header::account(secret.id()).id().clone().into()
}

fn party(secret: &AgentSecret) -> Party {
    Party {
        account: account(secret),
        agent: secret.id().clone(),
    }
}

/// Accounts with the agent they were made for, but for those that were revoked.
#[derive(Clone, Default)]
struct Directory(Arc<Mutex<Vec<AccountId>>>);

impl AgentDirectory for Directory {
    fn current_agent<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<AgentId, RpcError>> {
        let known = (1..10)
            .map(secret)
            .find(|secret| self::account(secret) == *account);
        let revoked = self.0.lock().contains(account);
        let result = known.filter(|_| !revoked).map(|secret| secret.id().clone());
        std::future::ready(result.ok_or_else(|| RpcError::not_authenticated("unknown account"))).boxed()
    }
}

/// A request as it was seen on the wire.
#[derive(Clone)]
struct Captured {
    url: String,
    header: String,
    body: Vec<u8>,
}

/// Carries calls to whichever instance is there, and keeps a copy of each.
#[derive(Clone)]
struct Wire {
    instance: Arc<Mutex<RpcServer>>,
    captured: Arc<Mutex<Vec<Captured>>>,
}

impl Wire {
    async fn send(&self, request: Captured) -> (StatusCode, String, Vec<u8>) {
        let path = request.url.strip_prefix(ENDPOINT).unwrap().to_owned();
        let router = self.instance.lock().router();
        let request = Request::post(path)
            .header("content-type", SEALED)
            .header(CALL_HEADER, request.header)
            .body(Body::from(request.body))
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (
            status,
            kind,
            response.into_body().collect().await.unwrap().to_bytes().to_vec(),
        )
    }
}

impl Transport for Wire {
    fn post(&self, url: String, call: String, body: Vec<u8>) -> BoxFuture<'_, Result<Reply, TransportError>> {
        let request = Captured {
            url,
            header: call,
            body,
        };
        self.captured.lock().push(request.clone());
        async move {
            let (status, kind, body) = self.send(request).await;
            Ok(Reply {
                status: status.as_u16(),
                is_sealed: kind == SEALED,
                body,
            })
        }
        .boxed()
    }
}

struct World {
    wire: Wire,
    client: RpcClient,
    service: Service,
    directory: Directory,
}

fn instance(service: &Service, directory: &Directory) -> RpcServer {
    let settle: reside::rpc::Settle = Arc::new(|| std::future::ready(Ok(())).boxed());
    let callee = secret(1);
    let contract = EchoContract::identity();
    let server = RpcServer::new(
        "callee".into(),
        account(&callee),
        callee,
        vec![contract],
        Arc::new(directory.clone()),
        settle,
    );
    server.serve(dispatch(service));
    server
}

fn dispatch(service: &Service) -> Dispatch {
    <EchoContract as reside::Serve<Service>>::dispatch(Arc::new(service.clone()))
}

impl World {
    fn new() -> Self {
        let (service, directory) = (Service::default(), Directory::default());
        let wire = Wire {
            instance: Arc::new(Mutex::new(instance(&service, &directory))),
            captured: Arc::default(),
        };
        let client = RpcClient::new(
            account(&secret(2)),
            secret(2),
            Arc::new(directory.clone()),
            Arc::new(wire.clone()),
        );
        Self {
            wire,
            client,
            service,
            directory,
        }
    }

    async fn call(&self, method: &str, body: &str) -> Result<String, CallError> {
        let callee = Callee {
            account: account(&secret(1)),
            name: "callee".into(),
            endpoint: ENDPOINT.into(),
        };
        let contract = EchoContract::identity();
        let response = self
            .client
            .call(&callee, &contract, method, false, body.as_bytes(), TIMEOUT)
            .await?;
        Ok(String::from_utf8(response).unwrap())
    }

    /// Makes a call that is answered, and returns it as it was on the wire.
    async fn captured_call(&self) -> Captured {
        self.call("echo", r#"{"text":"hi"}"#).await.unwrap();
        self.wire.captured.lock().last().unwrap().clone()
    }

    fn runs(&self) -> u32 {
        self.service.0.load(Ordering::SeqCst)
    }

    /// Sends a request and expects that it is refused without having run.
    async fn check_refused(&self, request: Captured, expected: StatusCode) {
        let before = self.runs();
        let (status, _, body) = self.wire.send(request).await;
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
        assert_eq!(self.runs(), before);
    }
}

#[track_caller]
fn code(result: Result<String, CallError>) -> Code {
    match result {
        Err(CallError::Refused(error)) => error.code(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_answered_in_the_name_of_its_caller() {
    let world = World::new();
    let answer = world.call("echo", r#"{"text":"hi"}"#).await.unwrap();
    assert!(answer.contains(account(&secret(2)).as_str()), "{answer}");
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn nothing_of_a_call_is_readable_on_the_wire() {
    let world = World::new();
    let request = world.captured_call().await;
    assert!(!request.body.windows(2).any(|pair| pair == b"hi"));
    let (_, _, response) = world.wire.send(request).await;
    assert!(!String::from_utf8_lossy(&response).contains("hi from"));
}

#[tokio::test]
async fn a_call_that_is_repeated_runs_once() {
    let world = World::new();
    let request = world.captured_call().await;
    world.check_refused(request, StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_call_can_be_replayed_neither_after_a_restart_nor_to_another_instance() {
    let world = World::new();
    let request = world.captured_call().await;
    *world.wire.instance.lock() = instance(&world.service, &world.directory);
    // The answer names the epoch of the new instance, sealed for the caller alone; the method does not run.
    world
        .check_refused(request, StatusCode::SERVICE_UNAVAILABLE)
        .await;
    // The honest caller follows.
    world.call("echo", r#"{"text":"again"}"#).await.unwrap();
    assert_eq!(world.runs(), 2);
}

#[tokio::test]
async fn every_changed_bit_of_the_body_is_noticed() {
    let world = World::new();
    let request = world.captured_call().await;
    for bit in 0..request.body.len() * 8 {
        let mut changed = request.clone();
        changed.body[bit / 8] ^= 1 << (bit % 8);
        world.check_refused(changed, StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn a_call_holds_for_its_contract_method_and_callee_only() {
    let world = World::new();
    let request = world.captured_call().await;
    for (from, to) in [("/echo", "/panic"), ("echo.v1", "echo.v2")] {
        let url = request.url.replacen(from, to, 1);
        assert_ne!(url, request.url);
        world
            .check_refused(
                Captured {
                    url,
                    ..request.clone()
                },
                StatusCode::UNAUTHORIZED,
            )
            .await;
    }
    world
        .check_refused(sealed(&secret(2), &secret(3), 0), StatusCode::UNAUTHORIZED)
        .await;
}

/// A request sealed by hand: from, to, and how many milliseconds from now it was made.
fn sealed(caller: &AgentSecret, callee: &AgentSecret, shift_millis: i64) -> Captured {
    forged(caller, &party(caller), callee, shift_millis)
}

/// A request that says it comes from `claimed`, sealed with the keys of `signer`.
fn forged(signer: &AgentSecret, claimed: &Party, callee: &AgentSecret, shift_millis: i64) -> Captured {
    let callee_party = party(callee);
    let made_at = Timestamp::now().0.saturating_add_signed(shift_millis);
    let header = CallHeader::new(
        claimed.account.clone(),
        claimed.agent.clone(),
        callee_party.account.clone(),
        String::new(),
        made_at,
        TIMEOUT,
        "request".into(),
        [7; 24],
    );
    let keys = PairKeys::derive(signer, callee.id(), claimed, &callee_party).unwrap();
    let contract = EchoContract::identity();
    let body = keys.seal_request(&header, &contract, "echo", br#"{"text":"hi"}"#);
    let url = format!("{ENDPOINT}/replicas/callee/rpc/{}/echo", contract.as_str());
    Captured {
        url,
        header: header.as_str().to_owned(),
        body,
    }
}

#[tokio::test]
async fn stale_and_future_calls_are_refused() {
    let world = World::new();
    for shift in [-61_000, 61_000] {
        world
            .check_refused(sealed(&secret(2), &secret(1), shift), StatusCode::UNAUTHORIZED)
            .await;
    }
}

#[tokio::test]
async fn nobody_calls_in_the_name_of_another_account() {
    let world = World::new();
    let (mallory, alice) = (secret(4), secret(2));
    // With Alice's keys named, but without having them.
    world
        .check_refused(
            forged(&mallory, &party(&alice), &secret(1), 0),
            StatusCode::UNAUTHORIZED,
        )
        .await;
    // With Alice's account named, and keys that are not the account's.
    let mixed = Party {
        account: account(&alice),
        agent: mallory.id().clone(),
    };
    world
        .check_refused(forged(&mallory, &mixed, &secret(1), 0), StatusCode::UNAUTHORIZED)
        .await;
}

#[tokio::test]
async fn a_revoked_agent_is_refused() {
    let world = World::new();
    world.directory.0.lock().push(account(&secret(3)));
    world
        .check_refused(sealed(&secret(3), &secret(1), 0), StatusCode::UNAUTHORIZED)
        .await;
}

#[tokio::test]
async fn an_answer_cannot_be_passed_off_as_the_answer_to_another_call() {
    let (caller, callee) = (secret(2), secret(1));
    let keys = PairKeys::derive(&caller, callee.id(), &party(&caller), &party(&callee)).unwrap();
    let header = |text: &str| CallHeader::parse(text).unwrap();
    let (first, second) = (sealed(&caller, &callee, 0), sealed(&caller, &callee, 1));
    let answer = keys.seal_response(&header(&first.header), 200, &[1; 24], b"yes");
    assert_eq!(
        keys.open_response(&header(&first.header), 200, &answer).unwrap(),
        b"yes"
    );
    assert!(keys.open_response(&header(&second.header), 200, &answer).is_err());
    assert!(keys.open_response(&header(&first.header), 403, &answer).is_err());
}

#[tokio::test]
async fn a_request_cannot_be_reflected() {
    let (caller, callee) = (secret(2), secret(1));
    let there = PairKeys::derive(&caller, callee.id(), &party(&caller), &party(&callee)).unwrap();
    let back = PairKeys::derive(&caller, callee.id(), &party(&callee), &party(&caller)).unwrap();
    let request = sealed(&caller, &callee, 0);
    let (header, contract) = (
        CallHeader::parse(&request.header).unwrap(),
        EchoContract::identity(),
    );
    assert!(
        there
            .open_request(&header, &contract, "echo", &request.body)
            .is_ok()
    );
    assert!(
        back.open_request(&header, &contract, "echo", &request.body)
            .is_err()
    );
}

#[tokio::test]
async fn garbage_is_malformed() {
    let world = World::new();
    let request = world.captured_call().await;
    for header in ["", "!", "e30", &"A".repeat(5000)] {
        let changed = Captured {
            header: header.to_owned(),
            ..request.clone()
        };
        world.check_refused(changed, StatusCode::BAD_REQUEST).await;
    }
    let oversized = Captured {
        body: vec![0; BODY_BYTES_MAX + 1],
        ..request
    };
    world.check_refused(oversized, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn errors_have_the_code_that_fits() {
    let world = World::new();
    assert_eq!(code(world.call("unknown", "{}").await), Code::NotFound);
    assert_eq!(code(world.call("echo", "[]").await), Code::Malformed);
    let message = world.call("echo", r#"{"text":5}"#).await.unwrap_err().to_string();
    assert!(
        message.contains("`text`: invalid type: integer `5`, expected a string"),
        "{message}"
    );
    assert_eq!(code(world.call("panic", r#"{"text":""}"#).await), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline() {
    let world = World::new();
    let result = world.call("never", r#"{"text":""}"#).await;
    assert!(
        matches!(result, Err(CallError::Unanswered(_) | CallError::Refused(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_draining_server_takes_no_new_calls() {
    let world = World::new();
    let request = world.captured_call().await;
    let server = world.wire.instance.lock().clone();
    server.drain().await;
    world
        .check_refused(request, StatusCode::SERVICE_UNAVAILABLE)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_stopping_instance_refuses_is_made_again_to_the_next_one() {
    let world = World::new();
    world.captured_call().await;
    let stopping = world.wire.instance.lock().clone();
    stopping.drain().await;
    let refused = world.call("echo", r#"{"text":"too late"}"#).await;
    assert_eq!(code(refused), Code::Unavailable);
    let (again, ()) = tokio::join!(world.call("echo", r#"{"text":"again"}"#), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        *world.wire.instance.lock() = instance(&world.service, &world.directory);
    });
    again.unwrap();
    assert_eq!(world.runs(), 2);
}
