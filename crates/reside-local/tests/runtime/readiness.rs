//! When a process is taken for ready. The test itself answers the probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use reside_local::Kind;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{deployment, eventually, start};

#[tokio::test]
async fn a_process_is_ready_while_its_probe_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let status = Arc::new(AtomicU16::new(503));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = status.clone();
    let probe = async move || StatusCode::from_u16(answers.load(Ordering::Relaxed)).unwrap();
    let serving =
        tokio::spawn(async { axum::serve(listener, Router::new().route("/readyz", get(probe))).await });

    let mut manifest = deployment("exec sleep 1000", 1);
    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    container["ports"] = json!([{ "containerPort": 8080, "hostPort": port }]);
    container["readinessProbe"] = json!({
        "httpGet": { "path": "/readyz", "port": 8080 },
        "periodSeconds": 1,
        "failureThreshold": 2,
    });
    client.apply(Kind::Deployment, "a", &manifest).await.unwrap();
    let ready = |wanted: u32| {
        let client = client.clone();
        async move {
            let is_as_wanted = move |status: &serde_json::Value| {
                status["replicas"] == 1 && status["readyReplicas"] == wanted
            };
            eventually(&client, Kind::Deployment, "a", is_as_wanted).await
        }
    };
    ready(0).await;
    status.store(200, Ordering::Relaxed);
    ready(1).await;
    status.store(500, Ordering::Relaxed);
    ready(0).await;
    status.store(302, Ordering::Relaxed);
    let live = ready(1).await;
    assert_eq!(
        live["status"]["pods"][0]["restartCount"], 0,
        "it is the same process"
    );
    serving.abort();
    ready(0).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_process_that_does_not_get_ready_in_time_is_said_to_be_late() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut manifest = deployment("exec sleep 1000", 1);
    manifest["spec"]["progressDeadlineSeconds"] = json!(1);
    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    container["ports"] = json!([{ "containerPort": 8080, "hostPort": port }]);
    container["readinessProbe"] = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
    client.apply(Kind::Deployment, "a", &manifest).await.unwrap();
    let late = eventually(&client, Kind::Deployment, "a", |status| {
        status["conditions"][0]["reason"] == "ProgressDeadlineExceeded"
    })
    .await;
    assert_eq!(late["status"]["replicas"], 1, "it may yet come");
    let _listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let ready = eventually(&client, Kind::Deployment, "a", |status| {
        status["readyReplicas"] == 1
    })
    .await;
    assert_eq!(ready["status"]["conditions"], json!(null));
    runtime.shutdown().await;
}

#[tokio::test]
async fn another_wish_for_the_same_process_is_reported_as_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let mut manifest = deployment("exec sleep 1000", 1);
    for generation in 1..=2 {
        manifest["metadata"] = json!({ "annotations": { "generation": generation.to_string() } });
        client.apply(Kind::Deployment, "a", &manifest).await.unwrap();
        let live = eventually(&client, Kind::Deployment, "a", |status| {
            status["observedGeneration"] == generation && status["readyReplicas"] == 1
        })
        .await;
        assert_eq!(live["status"]["pods"][0]["restartCount"], 0);
    }
    runtime.shutdown().await;
}
