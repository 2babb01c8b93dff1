//! A runtime in a folder of its own, and what one says to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use reside_local::{Images, Kind, Program, Runtime, RuntimeClient, RuntimeConfig, RuntimeError, Settings};
use serde_json::{Value, json};

/// The longest that anything here may take. A test that waits for it has failed.
pub const SOON: Duration = Duration::from_secs(60);

/// The image is the script.
pub struct Scripts;

impl Images for Scripts {
    fn unpack(&self, image: &str) -> Result<Program, String> {
        Ok(script(image))
    }
}

pub fn script(text: &str) -> Program {
    Program {
        argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
    }
}

/// Starts a runtime that restarts processes fast.
pub async fn start(folder: &Path) -> Result<Runtime, RuntimeError> {
    let settings = Settings {
        backoff_base: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        ..Settings::default()
    };
    start_with(folder, Scripts, settings).await
}

pub async fn start_with(
    folder: &Path,
    images: impl Images,
    settings: Settings,
) -> Result<Runtime, RuntimeError> {
    Runtime::start(RuntimeConfig {
        folder: folder.to_owned(),
        gateway: "127.0.0.1:0".parse().unwrap(),
        images: Arc::new(images),
        trampoline: vec!["/usr/bin/env".into(), "setsid".into()],
        settings,
    })
    .await
}

pub fn pod(script: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "sample" } },
        "spec": { "terminationGracePeriodSeconds": 5, "containers": [{ "name": "main", "image": script }] },
    })
}

pub fn deployment(script: &str, scale: u32) -> Value {
    json!({ "kind": "Deployment", "spec": { "replicas": scale, "template": pod(script) } })
}

pub fn job(script: &str, backoff_limit: u32) -> Value {
    json!({ "kind": "Job", "spec": { "backoffLimit": backoff_limit, "template": pod(script) } })
}

/// Waits until the object looks as wanted.
pub async fn eventually(
    client: &RuntimeClient,
    kind: Kind,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    match tokio::time::timeout(SOON, seen(client, kind, name, wanted)).await {
        Ok(found) => found,
        Err(_) => {
            let last = client.get(kind, name).await.unwrap();
            panic!("{kind} {name} never got as wanted; last seen: {last:#?}")
        }
    }
}

/// Waits until the object looks as wanted, also where time stands still.
pub async fn seen(client: &RuntimeClient, kind: Kind, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut changes = client.watch().await.unwrap();
    loop {
        let live = client.get(kind, name).await.unwrap().unwrap_or_default();
        if wanted(&live["status"]) {
            return live;
        }
        changes.next().await.unwrap();
    }
}

/// The log as it is.
pub async fn log(client: &RuntimeClient, name: &str) -> Vec<String> {
    let lines = client.logs(name, 100_000, false).await.unwrap();
    lines.map(|line| line.text).collect().await
}

/// Waits for a line of the log, and returns it.
pub async fn line(client: &RuntimeClient, name: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut lines = client.logs(name, 100_000, true).await.unwrap();
    loop {
        let line = lines.next().await.unwrap();
        if wanted(&line.text) {
            return line.text;
        }
    }
}
