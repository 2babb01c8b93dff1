//! The objects of the sync server: made by hand before there is anything to manage them.

use std::path::Path;

use reside_local::Kind;
use serde_json::{Value, json};

/// Name of the sync server's objects.
pub const NAME: &str = "sync";

/// Where the sync server of a machine runs.
#[derive(Clone, Debug)]
pub struct SyncServer<'a> {
    /// `identity@digest` of the image with its program.
    pub image: &'a str,
    /// The port it listens on, on the loopback.
    pub port: u16,
    /// Its database.
    pub storage: &'a Path,
}

/// Returns the StatefulSet, the Service, and the Ingress that makes the gateway's root the sync server.
pub fn sync_server_objects(server: &SyncServer<'_>) -> [(Kind, Value); 3] {
    let labels = json!({ "app.kubernetes.io/name": NAME });
    let stateful_set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": NAME, "labels": labels },
        "spec": {
            "replicas": 1,
            "serviceName": NAME,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 10,
                    "containers": [{
                        "name": NAME,
                        "image": server.image,
                        "args": [
                            "--listen", format!("127.0.0.1:{}", server.port),
                            "--storage", server.storage.display().to_string(),
                        ],
                        "ports": [{ "containerPort": server.port, "hostPort": server.port }],
                        "readinessProbe": { "httpGet": { "path": "/healthz", "port": server.port } },
                    }],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": NAME, "labels": labels },
        "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": server.port }] },
    });
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": NAME, "labels": labels },
        "spec": { "rules": [{ "http": { "paths": [{
            "path": "/",
            "pathType": "Prefix",
            "backend": { "service": { "name": NAME, "port": { "number": 80 } } },
        }] } }] },
    });
    [
        (Kind::StatefulSet, stateful_set),
        (Kind::Service, service),
        (Kind::Ingress, ingress),
    ]
}
