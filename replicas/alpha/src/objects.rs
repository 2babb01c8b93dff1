//! The orchestrator objects of a replica (SYSTEM.md, section 6), as Kubernetes manifests. Pure: what goes in decides
//! what comes out, so comparing with what exists is enough to know what to restore.

use alpha_v1::{ManagementBlock, ReplicaRecord, ReplicaVersion};
use kubernetes_sentinel_v1::Kind;
use reside::manifest::ReplicaClass;
use reside::prelude::*;
use serde_json::{Value, json};

use crate::settings::ClusterSettings;

/// The port every replica listens on inside its pod.
const LISTEN_PORT: u16 = 8080;
/// How long a version may take to get ready before it counts as failed.
const PROGRESS_DEADLINE_SECONDS: u32 = 120;
/// Label that tells whose an object is.
pub const REPLICA_LABEL: &str = "reside.io/replica";
/// Label that tells which version of the replica an object runs.
pub const VERSION_LABEL: &str = "reside.io/version";
/// Node selector of a placement group.
const PLACEMENT_LABEL: &str = "reside.io/placement-group";

/// One object that should exist.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its collection.
    pub kind: Kind,
    /// Its name there.
    pub name: String,
    /// Its manifest.
    pub manifest: Value,
}

/// How a version's workload is called: `{name}-{version}`.
pub fn workload_name(replica: &str, version: u32) -> String {
    format!("{replica}-{version}")
}

/// The collection that a replica's workloads live in.
pub fn workload_kind(info: &Info) -> Kind {
    match info.class {
        ReplicaClass::LongRunning => Kind::Deployment,
        ReplicaClass::Oneshot => Kind::Job,
    }
}

/// The Secret with the keys of the replica's account.
pub fn secret(replica: &ReplicaRecord, agent_secret: &str) -> Object {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(&replica.name, &replica.name, None),
        "type": "Opaque",
        "stringData": { "accountId": replica.account.to_string(), "agentSecret": agent_secret },
    });
    Object {
        kind: Kind::Secret,
        name: replica.name.clone(),
        manifest,
    }
}

/// The Deployment or Job of one version. It runs once the replica says so: a process that is there proves nothing.
pub fn workload(
    replica: &ReplicaRecord,
    version: &ReplicaVersion,
    management: &ManagementBlock,
    settings: &ClusterSettings,
    serves_methods: bool,
    scale: u32,
) -> Object {
    let name = workload_name(&replica.name, version.id);
    let pod = pod_template(replica, version, management, settings, serves_methods);
    let metadata = metadata(&name, &replica.name, Some(version.id));
    let manifest = match replica.info.class {
        ReplicaClass::LongRunning => json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": scale,
                "strategy": { "type": "Recreate" },
                "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
                "selector": { "matchLabels": labels(&replica.name, Some(version.id)) },
                "template": pod,
            },
        }),
        ReplicaClass::Oneshot => json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": { "backoffLimit": 3, "template": pod },
        }),
    };
    Object {
        kind: workload_kind(&replica.info),
        name,
        manifest,
    }
}

/// The Service and the Ingress through which a replica with methods is called.
pub fn endpoints(replica: &ReplicaRecord) -> [Object; 2] {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(&replica.name, &replica.name, None),
        "spec": {
            "selector": labels(&replica.name, None),
            "ports": [{ "port": 80, "targetPort": LISTEN_PORT }],
        },
    });
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(&replica.name, &replica.name, None),
        "spec": { "rules": [{ "http": { "paths": [{
            "path": format!("/replicas/{}/", replica.name),
            "pathType": "Prefix",
            "backend": { "service": { "name": replica.name, "port": { "number": 80 } } },
        }] } }] },
    });
    [
        Object {
            kind: Kind::Service,
            name: replica.name.clone(),
            manifest: service,
        },
        Object {
            kind: Kind::Ingress,
            name: replica.name.clone(),
            manifest: ingress,
        },
    ]
}

fn pod_template(
    replica: &ReplicaRecord,
    version: &ReplicaVersion,
    management: &ManagementBlock,
    settings: &ClusterSettings,
    serves_methods: bool,
) -> Value {
    let mut container = json!({
        "name": "replica",
        "image": version.image,
        "env": environment(replica, settings),
    });
    if serves_methods || replica.info.class == ReplicaClass::LongRunning {
        container["ports"] = json!([{ "containerPort": LISTEN_PORT }]);
        container["readinessProbe"] = json!({
            "httpGet": { "path": format!("/replicas/{}/readyz", replica.name), "port": LISTEN_PORT },
        });
    }
    let mut spec = json!({ "containers": [container], "terminationGracePeriodSeconds": 30 });
    if replica.info.class == ReplicaClass::Oneshot {
        spec["restartPolicy"] = json!("OnFailure");
    }
    if let Some(group) = &management.placement_group {
        spec["nodeSelector"] = json!({ PLACEMENT_LABEL: group });
    }
    json!({ "metadata": { "labels": labels(&replica.name, Some(version.id)) }, "spec": spec })
}

fn environment(replica: &ReplicaRecord, settings: &ClusterSettings) -> Value {
    let from_secret = |key: &str| json!({ "secretKeyRef": { "name": replica.name, "key": key } });
    let mut env = vec![
        json!({ "name": "RESIDE_CONTROL_BLOCK_ID", "value": replica.rcb.id().to_string() }),
        json!({ "name": "RESIDE_ACCOUNT_ID", "valueFrom": from_secret("accountId") }),
        json!({ "name": "RESIDE_AGENT_SECRET", "valueFrom": from_secret("agentSecret") }),
        json!({ "name": "RESIDE_SYNC_SERVER_URL", "value": settings.sync_server_url }),
        json!({ "name": "RESIDE_INTERNAL_ENDPOINT", "value": settings.internal_endpoint_of(&replica.name) }),
        json!({ "name": "RESIDE_LISTEN_PORT", "value": LISTEN_PORT.to_string() }),
    ];
    if let Some(endpoint) = &settings.external_endpoint {
        env.push(json!({ "name": "RESIDE_EXTERNAL_ENDPOINT", "value": endpoint }));
    }
    Value::Array(env)
}

fn metadata(name: &str, replica: &str, version: Option<u32>) -> Value {
    json!({ "name": name, "labels": labels(replica, version) })
}

fn labels(replica: &str, version: Option<u32>) -> Value {
    match version {
        Some(version) => json!({ REPLICA_LABEL: replica, VERSION_LABEL: version.to_string() }),
        None => json!({ REPLICA_LABEL: replica }),
    }
}
