//! Calls in the Jazz form, from bodies to bodies; `jazz` tests what it takes to be accepted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jazz::LocalServer;
use jazz::request::{Answer, OutgoingRequest, Receiver};
use reside::Contract as _;
use reside::prelude::*;
use reside::rpc::{CALL_FIELD, RpcServer};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use crate::{Directory, EchoContract, Service, dispatch};

const ECHO: &str = "/replicas/callee/rpc/example.org%2Fcontracts%2Fecho.v1/echo";

struct World {
    caller: Node,
    callee: Node,
    server: RpcServer,
    service: Service,
    _sync: LocalServer,
}

/// The callee of a node, that answers in the Jazz form.
pub fn serve(callee: &Node, service: &Service) -> RpcServer {
    let node = callee.clone();
    let settle: reside::rpc::Settle = Arc::new(move || {
        let node = node.clone();
        async move {
            node.wait_for_sync(crate::TIMEOUT)
                .await
                .map_err(RpcError::internal)
        }
        .boxed()
    });
    let credentials = callee.credentials().unwrap();
    let server = RpcServer::new(
        "callee".into(),
        credentials.account_id,
        credentials.agent_secret,
        vec![EchoContract::identity()],
        Arc::new(Directory::default()),
        settle,
    );
    server.accept_jazz_form(Receiver::new(callee));
    server.serve(dispatch(service));
    server
}

impl World {
    async fn new() -> Self {
        let sync = LocalServer::new();
        let node = async |name: &str| {
            let node = Node::builder().local_server(&sync).create_account(name);
            node.connect().await.unwrap()
        };
        let (caller, callee) = (node("Caller").await, node("Callee").await);
        let service = Service::default();
        let server = serve(&callee, &service);
        Self {
            caller,
            callee,
            server,
            service,
            _sync: sync,
        }
    }

    async fn request(&self, fields: Value) -> OutgoingRequest {
        let Value::Object(fields) = fields else {
            panic!("fields are an object")
        };
        let request = OutgoingRequest::of_fields(&self.caller, self.callee.account_id(), fields);
        request.await.unwrap()
    }

    async fn post(&self, path: &str, body: &[u8]) -> (Answer, HeaderMap) {
        post(self.server.router(), path, body).await
    }

    fn runs(&self) -> u32 {
        self.service.0.load(Ordering::SeqCst)
    }
}

async fn post(router: Router, path: &str, body: &[u8]) -> (Answer, HeaderMap) {
    let request = Request::post(path)
        .header("content-type", "application/json; charset=utf-8")
        .body(Body::from(body.to_vec()))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let answer = Answer {
        status: parts.status.as_u16(),
        is_request_error: parts
            .headers
            .get("x-jazz-request-error")
            .is_some_and(|value| value == "true"),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    };
    (answer, parts.headers)
}

fn error(answer: &Answer) -> Map<String, Value> {
    assert!(answer.is_request_error);
    let error: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(error["code"], answer.status);
    error
}

#[tokio::test]
async fn a_method_is_called_by_the_fields_of_a_map() {
    let world = World::new().await;
    let request = world.request(json!({"text": "hi"})).await;
    let (answer, headers) = world.post(ECHO, request.body()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(headers["content-type"], "application/json");
    let response = request.response_fields(&answer).await.unwrap();
    let expected = format!("hi from {}", world.caller.account_id());
    assert_eq!(Value::Object(response), json!({"text": expected}));
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn a_request_sent_twice_runs_once() {
    let world = World::new().await;
    let request = world.request(json!({"text": "hi"})).await;
    assert_eq!(world.post(ECHO, request.body()).await.0.status, 200);
    let (answer, _) = world.post(ECHO, request.body()).await;
    assert_eq!(error(&answer)["message"], "Request payload is already handled");
    // Nor does another run of the replica answer it.
    let restarted = serve(&world.callee, &world.service);
    let (answer, _) = post(restarted.router(), ECHO, request.body()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn a_request_that_names_its_method_is_good_for_no_other() {
    let world = World::new().await;
    let panic = "example.org/contracts/echo.v1/panic";
    let request = world.request(json!({"text": "hi", CALL_FIELD: panic})).await;
    let (answer, _) = world.post(ECHO, request.body()).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(world.runs(), 0);
    // That didn't use it up.
    let (answer, _) = world
        .post(&ECHO.replace("echo.v1/", "echo.v1%2F"), request.body())
        .await;
    assert_eq!(answer.status, 401);
    let path = ECHO.replace("/echo", "/panic");
    let (answer, _) = world.post(&path, request.body()).await;
    assert_eq!(answer.status, 500, "it panics, as asked");
    let request = world
        .request(json!({"text": "hi", CALL_FIELD: "example.org/contracts/echo.v1/echo"}))
        .await;
    assert_eq!(world.post(ECHO, request.body()).await.0.status, 200);
}

#[tokio::test]
async fn what_cannot_be_run_is_not_used_up() {
    let world = World::new().await;
    let request = world.request(json!({"text": "hi"})).await;
    let (answer, _) = world.post(&ECHO.replace("/echo", "/other"), request.body()).await;
    assert_eq!(error(&answer)["code"], 404);
    let (answer, _) = world
        .post(&ECHO.replace("echo.v1", "echo.v2"), request.body())
        .await;
    assert_eq!(error(&answer)["code"], 404);
    assert_eq!(world.post(ECHO, request.body()).await.0.status, 200);
    world.server.drain().await;
    let (answer, headers) = world.post(ECHO, request.body()).await;
    assert_eq!(error(&answer)["code"], 503);
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_request_that_is_not_the_methods_is_refused_with_the_reason() {
    let world = World::new().await;
    let request = world.request(json!({"text": 7})).await;
    let (answer, _) = world.post(ECHO, request.body()).await;
    let error = error(&answer);
    assert_eq!(error["code"], 400);
    assert!(
        error["message"].as_str().unwrap().contains("expected a string"),
        "{error:?}"
    );
    let (answer, _) = world.post(ECHO, b"zzz").await;
    assert_eq!(answer.status, 400);
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn a_page_of_any_origin_may_call() {
    let world = World::new().await;
    let request = Request::builder().method(Method::OPTIONS).uri(ECHO);
    let response = world
        .server
        .router()
        .oneshot(request.body(Body::empty()).unwrap());
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["access-control-allow-headers"], "content-type");
    let (_, headers) = world.post(ECHO, b"{}").await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["access-control-expose-headers"], "X-Jazz-Request-Error");
}
