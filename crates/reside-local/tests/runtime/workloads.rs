//! Deployments, jobs, and what they see.

use std::path::Path;
use std::time::Duration;

use reside_local::{Kind, RuntimeError};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{SOON, deployment, eventually, job, line, log, seen, start};

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn a_deployment_runs_and_is_asked_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "trap 'echo bye; exit 0' TERM; echo pid $$; while :; do sleep 0.05; done";
    client
        .apply(Kind::Deployment, "a", &deployment(script, 1))
        .await
        .unwrap();
    eventually(&client, Kind::Deployment, "a", |status| {
        status["readyReplicas"] == 1
    })
    .await;
    let pid = line(&client, "a", |line| line.starts_with("pid ")).await;
    client
        .apply(Kind::Deployment, "a", &deployment(script, 0))
        .await
        .unwrap();
    eventually(&client, Kind::Deployment, "a", |status| status["replicas"] == 0).await;
    line(&client, "a", |line| line == "bye").await;
    assert!(!is_running(&pid["pid ".len()..]));
    runtime.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_end_in_time_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "trap '' TERM; echo pid $$; while :; do sleep 0.05; done";
    client
        .apply(Kind::Deployment, "a", &deployment(script, 1))
        .await
        .unwrap();
    let pid = line(&client, "a", |line| line.starts_with("pid ")).await;
    let asked = tokio::time::Instant::now();
    client
        .apply(Kind::Deployment, "a", &deployment(script, 0))
        .await
        .unwrap();
    seen(&client, Kind::Deployment, "a", |status| status["replicas"] == 0).await;
    assert_eq!(asked.elapsed().as_secs(), 5, "the grace period of the pod");
    assert!(!is_running(&pid["pid ".len()..]));
    runtime.shutdown().await;
}

#[tokio::test]
async fn what_a_process_has_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let script = "sleep 1000 >/dev/null 2>&1 & echo pid $!";
    client.apply(Kind::Job, "a", &job(script, 0)).await.unwrap();
    eventually(&client, Kind::Job, "a", |status| {
        status["conditions"][0]["type"] == "Complete"
    })
    .await;
    let pid = line(&client, "a", |line| line.starts_with("pid ")).await;
    // The kernel ends it when it gets to it; then it may wait for whoever has inherited it to take note.
    let stat = format!("/proc/{}/stat", &pid["pid ".len()..]);
    let is_over = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let over = async {
        while !is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, over).await.expect("it lives on");
    runtime.shutdown().await;
}

#[tokio::test]
async fn a_process_is_told_where_to_listen() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(folder.path()).await.unwrap();
    let client = runtime.client();
    let mut manifest = job("echo at $RESIDE_LISTEN_HOST:$RESIDE_LISTEN_PORT", 0);
    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    container["ports"] = json!([{ "containerPort": 8080, "hostPort": 4711 }]);
    // The container's own port means nothing on a machine that all share.
    container["env"] = json!([{ "name": "RESIDE_LISTEN_PORT", "value": "8080" }]);
    client.apply(Kind::Job, "a", &manifest).await.unwrap();
    let told = line(&client, "a", |line| line.starts_with("at ")).await;
    assert_eq!(told, "at 127.0.0.1:4711");
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
