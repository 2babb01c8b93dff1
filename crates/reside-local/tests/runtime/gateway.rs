//! The gateway in front of servers that the test itself runs; the process behind a service only sleeps.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use futures::{SinkExt as _, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use reside_local::{Kind, Runtime, RuntimeClient};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{SOON, deployment, eventually, start};

struct Fixture {
    _folder: TempDir,
    runtime: Runtime,
    client: Client<HttpConnector, Body>,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = start(folder.path()).await.unwrap();
        Self {
            _folder: folder,
            runtime,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn api(&self) -> RuntimeClient {
        self.runtime.client()
    }

    /// Leads a path to a service of this name, behind which a process is said to listen on this port.
    async fn route(&self, name: &str, path: &str, port: u16, scale: u32) {
        let mut manifest = deployment("exec sleep 1000", scale);
        let template = &mut manifest["spec"]["template"];
        template["metadata"]["labels"]["app"] = json!(name);
        template["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 8080, "hostPort": port }]);
        let service = json!({
            "kind": "Service",
            "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        let backend = json!({ "service": { "name": name, "port": { "number": 80 } } });
        let paths = json!([{ "path": path, "pathType": "Prefix", "backend": backend }]);
        let ingress = json!({ "kind": "Ingress", "spec": { "rules": [{ "http": { "paths": paths } }] } });
        let api = self.api();
        for (kind, manifest) in [
            (Kind::Deployment, manifest),
            (Kind::Service, service),
            (Kind::Ingress, ingress),
        ] {
            api.apply(kind, name, &manifest).await.unwrap();
        }
        eventually(&api, Kind::Deployment, name, |status| {
            status["readyReplicas"] == scale
        })
        .await;
    }

    fn request(&self, path: &str) -> axum::http::request::Builder {
        Request::builder().uri(format!("http://{}{path}", self.runtime.gateway()))
    }

    async fn send(&self, request: Request) -> Response {
        let answer = timeout(SOON, self.client.request(request)).await;
        answer.expect("no answer").unwrap().map(Body::new)
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.send(self.request(path).body(Body::empty()).unwrap()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Runs a server; returns its port.
async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, router).await });
    port
}

/// A server that says its name and what it was asked for.
async fn named(name: &'static str) -> u16 {
    serve(Router::new().fallback(async move |request: Request| format!("{name} {}", request.uri()))).await
}

/// A server that reads a request, says these words, and closes the connection.
async fn says_and_closes(words: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(words.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn the_longest_path_prefix_wins() {
    let fixture = Fixture::new().await;
    fixture.route("a", "/replicas/a/", named("a").await, 1).await;
    fixture
        .route("deep", "/replicas/a/deep", named("deep").await, 1)
        .await;
    let found = async |path: &str| fixture.get(path).await.1;
    assert_eq!(
        found("/replicas/a/x%2Fy?z=1&z").await,
        "a /replicas/a/x%2Fy?z=1&z"
    );
    assert_eq!(found("/replicas/a").await, "a /replicas/a");
    assert_eq!(found("/replicas/a/deep").await, "deep /replicas/a/deep");
    assert_eq!(found("/replicas/a/deeper").await, "a /replicas/a/deeper");
    assert_eq!(fixture.get("/replicas/ab/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(fixture.get("/").await.0, StatusCode::NOT_FOUND);
    fixture.route("rest", "/", named("rest").await, 1).await;
    assert_eq!(found("/replicas/ab/").await, "rest /replicas/ab/");
    fixture.api().delete(Kind::Ingress, "rest").await.unwrap();
    assert_eq!(fixture.get("/").await.0, StatusCode::NOT_FOUND);
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn a_service_without_a_ready_process_is_asked_again_later() {
    let fixture = Fixture::new().await;
    fixture.route("stopped", "/stopped", 1, 0).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    fixture.route("deaf", "/deaf", port, 1).await;
    for path in ["/stopped", "/deaf"] {
        let request = fixture.request(path).body(Body::empty()).unwrap();
        let response = fixture.send(request).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1", "{path}");
    }
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn a_process_that_breaks_off_is_told_from_one_that_answers() {
    let fixture = Fixture::new().await;
    let silent = says_and_closes("").await;
    let half = says_and_closes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it").await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let chunked = says_and_closes(chunked).await;
    fixture.route("silent", "/silent", silent, 1).await;
    fixture.route("half", "/half", half, 1).await;
    fixture.route("chunked", "/chunked", chunked, 1).await;
    assert_eq!(fixture.get("/silent").await.0, StatusCode::BAD_GATEWAY);
    for path in ["/half", "/chunked"] {
        let request = fixture.request(path).body(Body::empty()).unwrap();
        let response = fixture.send(request).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert!(response.into_body().collect().await.is_err(), "{path}");
    }
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn large_bodies_go_through_both_ways() {
    let fixture = Fixture::new().await;
    let echo = Router::new().fallback(async |request: Request| request.into_body());
    fixture.route("echo", "/echo", serve(echo).await, 1).await;
    let (chunk, count) = (vec![7; 64 * 1024], 512);
    let sent = stream::iter(std::iter::repeat_n(chunk.clone(), count)).map(Ok::<_, Infallible>);
    let request = fixture
        .request("/echo")
        .method("POST")
        .body(Body::from_stream(sent))
        .unwrap();
    let mut body = fixture.send(request).await.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.iter().all(|byte| *byte == 7));
        bytes += data.len();
    }
    assert_eq!(bytes, chunk.len() * count);
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn bodies_are_passed_on_as_they_come() {
    let fixture = Fixture::new().await;
    let echo = Router::new().fallback(async |request: Request| request.into_body());
    fixture.route("echo", "/echo", serve(echo).await, 1).await;
    let (sender, receiver) = mpsc::unbounded_channel::<&str>();
    let sent = stream::unfold(receiver, async |mut receiver| {
        Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
    });
    let request = fixture
        .request("/echo")
        .method("POST")
        .body(Body::from_stream(sent))
        .unwrap();
    sender.send("first").unwrap();
    let mut body = fixture.send(request).await.into_body();
    let mut next = async || {
        let frame = timeout(SOON, body.frame()).await.expect("no frame");
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    };
    assert_eq!(next().await.unwrap(), "first");
    sender.send("second").unwrap();
    assert_eq!(next().await.unwrap(), "second");
    drop(sender);
    assert_eq!(next().await, None);
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let fixture = Fixture::new().await;
    let server = any(async |headers: HeaderMap| {
        let seen: Vec<String> = headers.keys().map(ToString::to_string).collect();
        let mut response = seen.join(" ").into_response();
        let answered = response.headers_mut();
        answered.insert("connection", "x-inner".parse().unwrap());
        answered.insert("x-inner", "1".parse().unwrap());
        answered.insert("keep-alive", "timeout=5".parse().unwrap());
        answered.insert("x-kept", "1".parse().unwrap());
        answered.insert("x-host", headers["host"].clone());
        response
    });
    let port = serve(Router::new().fallback(server)).await;
    fixture.route("a", "/a", port, 1).await;
    let request = fixture
        .request("/a")
        .header("connection", "X-Outer, x-other")
        .header("x-outer", "1")
        .header("x-other", "1")
        .header("te", "trailers")
        .header("proxy-connection", "keep-alive")
        .header("keep-alive", "timeout=5")
        .header("x-sent", "1")
        .body(Body::empty())
        .unwrap();
    let response = fixture.send(request).await;
    let headers = response.headers().clone();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    let mut seen: Vec<&str> = seen.split(' ').collect();
    seen.sort_unstable();
    assert_eq!(seen, ["host", "x-sent"]);
    assert_eq!(headers["x-host"], fixture.runtime.gateway().to_string());
    assert_eq!(headers["x-kept"], "1");
    for name in ["x-inner", "keep-alive", "connection"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    fixture.runtime.shutdown().await;
}

#[tokio::test]
async fn web_sockets_go_through() {
    let fixture = Fixture::new().await;
    let echo = get(async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(message @ Message::Text(_))) = socket.recv().await {
                socket.send(message).await.unwrap();
            }
        })
    });
    let port = serve(Router::new().route("/ws", echo)).await;
    fixture.route("a", "/", port, 1).await;
    let url = format!("ws://{}/ws", fixture.runtime.gateway());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for text in ["one", "two"] {
        socket.send(text.into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(SOON, socket.next()).await.expect("it is not closed") {}
    fixture.runtime.shutdown().await;
}
