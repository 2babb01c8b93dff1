//! The runtime with real processes: shell scripts as the programs of images.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use reside_local::{Images, Kind, Program, Runtime, RuntimeClient, RuntimeConfig, RuntimeError, Settings};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// The image is the script.
struct Scripts;

impl Images for Scripts {
    fn unpack(&self, image: &str) -> Result<Program, String> {
        if image == "broken" {
            return Err("no such image".to_owned());
        }
        let argv = ["/bin/sh", "-c", image].map(str::to_owned).to_vec();
        Ok(Program {
            argv,
            env: BTreeMap::new(),
        })
    }
}

async fn start(folder: &Path) -> Result<Runtime, RuntimeError> {
    let settings = Settings {
        backoff_base: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        ..Settings::default()
    };
    Runtime::start(RuntimeConfig {
        folder: folder.to_owned(),
        gateway: "127.0.0.1:0".parse().unwrap(),
        images: Arc::new(Scripts),
        trampoline: vec!["/usr/bin/env".into(), "setsid".into()],
        settings,
    })
    .await
}

fn pod(script: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "sample" } },
        "spec": { "terminationGracePeriodSeconds": 5, "containers": [{ "name": "main", "image": script }] },
    })
}

fn deployment(script: &str, scale: u32) -> Value {
    json!({ "kind": "Deployment", "spec": { "replicas": scale, "template": pod(script) } })
}

fn job(script: &str, backoff_limit: u32) -> Value {
    json!({ "kind": "Job", "spec": { "backoffLimit": backoff_limit, "template": pod(script) } })
}

/// Waits until the object looks as wanted.
async fn eventually(
    client: &RuntimeClient,
    kind: Kind,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    let mut changes = client.watch().await.unwrap();
    let found = tokio::time::timeout(SOON, async {
        loop {
            last = client.get(kind, name).await.unwrap().unwrap_or_default();
            if wanted(&last["status"]) {
                return last.clone();
            }
            changes.next().await.unwrap();
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("{kind} {name} never got as wanted; last seen: {last:#}"),
    }
}

async fn log(client: &RuntimeClient, name: &str) -> Vec<String> {
    client
        .logs(name, 100, false)
        .await
        .unwrap()
        .map(|line| line.text)
        .collect()
        .await
}

#[tokio::test]
async fn a_deployment_runs_restarts_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "echo here; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";
    client
        .apply(Kind::Deployment, "a", &deployment(script, 1))
        .await
        .unwrap();
    eventually(&client, Kind::Deployment, "a", |status| {
        status["readyReplicas"] == 1
    })
    .await;
    client
        .apply(Kind::Deployment, "a", &deployment(script, 0))
        .await
        .unwrap();
    eventually(&client, Kind::Deployment, "a", |status| status["replicas"] == 0).await;
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_crash_is_counted_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    client
        .apply(Kind::Deployment, "a", &deployment("echo dying; exit 3", 1))
        .await
        .unwrap();
    let live = eventually(&client, Kind::Deployment, "a", |status| {
        status["pods"][0]["restartCount"].as_u64() >= Some(3)
            && status["pods"][0]["waiting"]["reason"] == "CrashLoopBackOff"
    })
    .await;
    assert!(
        live["status"]["pods"][0]["waiting"]["message"]
            .as_str()
            .unwrap()
            .contains('3')
    );
    assert!(log(&client, "a").await.contains(&"dying".to_owned()));
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_job_ends_once_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    client
        .apply(Kind::Job, "good", &job("echo done", 0))
        .await
        .unwrap();
    client.apply(Kind::Job, "bad", &job("exit 1", 2)).await.unwrap();
    let condition = |status: &Value, wanted: &str| status["conditions"][0]["type"] == wanted;
    eventually(&client, Kind::Job, "good", |status| condition(status, "Complete")).await;
    let bad = eventually(&client, Kind::Job, "bad", |status| condition(status, "Failed")).await;
    assert_eq!(bad["status"]["failed"], 3);
    runtime.shutdown().await;

    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    eventually(&client, Kind::Job, "good", |status| condition(status, "Complete")).await;
    client.apply(Kind::Job, "marker", &job("true", 0)).await.unwrap();
    eventually(&client, Kind::Job, "marker", |status| {
        condition(status, "Complete")
    })
    .await;
    assert_eq!(
        log(&client, "good")
            .await
            .iter()
            .filter(|line| *line == "done")
            .count(),
        1
    );
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_secret_that_appears_later_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let mut manifest = job("echo value=$TOKEN", 0);
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{ "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "keys", "key": "token" } } }]);
    client.apply(Kind::Job, "reader", &manifest).await.unwrap();
    eventually(&client, Kind::Job, "reader", |status| {
        status["pods"][0]["waiting"]["reason"] == "CreateContainerConfigError"
    })
    .await;
    let secret = json!({ "kind": "Secret", "stringData": { "token": "abc" } });
    client.apply(Kind::Secret, "keys", &secret).await.unwrap();
    eventually(&client, Kind::Job, "reader", |status| {
        status["conditions"][0]["type"] == "Complete"
    })
    .await;
    assert!(log(&client, "reader").await.contains(&"value=abc".to_owned()));
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_second_runtime_is_told_who_runs() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    match start(folder.path()).await.err() {
        Some(RuntimeError::AlreadyRunning { pid }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    runtime.shutdown().await;
}

#[tokio::test]
async fn what_the_runtime_cannot_do_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let mut manifest = deployment("true", 1);
    manifest["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let error = runtime
        .client()
        .apply(Kind::Deployment, "a", &manifest)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("hostNetwork"), "{error}");
    runtime.shutdown().await;
}
