//! A process that somebody else runs takes calls for as long as it is announced.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use axum::{Router, routing::get};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use reside_local::{Kind, Runtime, StandIn};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::{SOON, start};

async fn call(runtime: &Runtime) -> (u16, String) {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let url = format!("http://{}/replicas/sample/hello", runtime.gateway());
    let request = Request::builder().uri(url).body(Body::empty()).unwrap();
    let response = timeout(SOON, client.request(request)).await.unwrap().unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_stand_in_takes_calls_while_it_is_announced_and_ready() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let service = json!({
        "kind": "Service",
        "spec": { "selector": { "app": "sample" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    });
    let backend = json!({ "service": { "name": "sample", "port": { "number": 80 } } });
    let paths = json!([{ "path": "/replicas/sample/", "pathType": "Prefix", "backend": backend }]);
    let ingress = json!({ "kind": "Ingress", "spec": { "rules": [{ "http": { "paths": paths } }] } });
    client.apply(Kind::Service, "sample", &service).await.unwrap();
    client.apply(Kind::Ingress, "sample", &ingress).await.unwrap();
    assert_eq!(call(&runtime).await.0, 503);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stand_in = StandIn {
        labels: BTreeMap::from([("app".to_owned(), "sample".to_owned())]),
        container_port: 8080,
        port,
        readiness_probe: serde_json::from_value(json!({ "httpGet": { "path": "/readyz", "port": 8080 } }))
            .unwrap(),
    };
    let mut ready = client.stand_in(&stand_in).await.unwrap();
    assert_eq!(timeout(SOON, ready.next()).await.unwrap(), Some(false));
    assert_eq!(call(&runtime).await.0, 503, "it does not answer its probe yet");
    let routes = Router::new()
        .route("/readyz", get(async || "ready"))
        .route("/replicas/sample/hello", get(async || "hello"));
    tokio::spawn(async { axum::serve(listener, routes).await });
    while timeout(SOON, ready.next()).await.unwrap() != Some(true) {}
    assert_eq!(call(&runtime).await, (200, "hello".to_owned()));

    drop(ready);
    timeout(SOON, async { while call(&runtime).await.0 != 503 {} })
        .await
        .expect("it takes calls although nobody announces it any more");
    runtime.shutdown().await;
}
