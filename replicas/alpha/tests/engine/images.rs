//! Images in memory, and the manifests that the tests put into them.

use std::collections::HashMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reside::manifest::{
    ImplementationManifest, MethodManifest, PermissionManifest, PermissionRequest, RequirementManifest,
};
use reside::prelude::*;
use reside_image::oci::{CONFIG, Descriptor, ImageConfig, ImageManifest, RootFs, RunConfig};
use reside_image::{Digest, Image, ImageError, ImageSource, MANIFEST_LABEL, Reference, ResolvedImage};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

pub const CONTRACT: &str = "ghcr.io/exeteres/reside/contracts/greeter.v1";
pub const GREETER: &str = "ghcr.io/exeteres/reside/replicas/greeter";
pub const VISITOR: &str = "ghcr.io/exeteres/reside/replicas/visitor";

/// Nobody answers for it.
pub const SLOW: &str = "ghcr.io/exeteres/reside/replicas/slow";

/// Labels by digest, and what each name stands for right now.
#[derive(Default)]
pub struct Images {
    stored: Mutex<Stored>,
    /// Told when [`SLOW`] is asked for.
    pub hanging: Notify,
}

#[derive(Default)]
struct Stored {
    latest: HashMap<String, Digest>,
    labels: HashMap<Digest, Option<String>>,
}

impl Images {
    /// Publishes an image with a manifest in its label; returns `identity@digest`.
    pub fn publish(&self, manifest: &impl Serialize) -> String {
        let json = serde_json::to_value(manifest).unwrap();
        let identity = json["identity"].as_str().unwrap().to_owned();
        self.publish_as(&identity, &json)
    }

    /// Publishes a manifest under a name that needn't be its own.
    pub fn publish_as(&self, identity: &str, manifest: &Value) -> String {
        self.publish_label(identity, Some(STANDARD.encode(manifest.to_string())))
    }

    /// Publishes an image with this label, or with none.
    pub fn publish_label(&self, identity: &str, label: Option<String>) -> String {
        let mut stored = self.stored.lock();
        let content = format!("{identity} {label:?}");
        let digest = Digest::from_hash(Sha256::digest(content).into());
        stored.latest.insert(identity.to_owned(), digest);
        stored.labels.insert(digest, label);
        format!("{identity}@{digest}")
    }
}

#[async_trait]
impl ImageSource for Images {
    async fn resolve(&self, reference: &Reference) -> Result<ResolvedImage, ImageError> {
        if reference.identity == SLOW {
            self.hanging.notify_one();
            std::future::pending::<()>().await;
        }
        let stored = self.stored.lock();
        let latest = stored.latest.get(reference.identity.as_str()).copied();
        match reference.digest.or(latest) {
            Some(digest) if stored.labels.contains_key(&digest) => Ok(ResolvedImage {
                identity: reference.identity.clone(),
                digest,
            }),
            _ => Err(ImageError::Unknown {
                reference: reference.clone(),
                known: Vec::new(),
            }),
        }
    }

    async fn image(&self, image: &ResolvedImage) -> Result<Image, ImageError> {
        let label = self.stored.lock().labels[&image.digest].clone();
        let labels = label.map(|label| (MANIFEST_LABEL.to_owned(), label));
        Ok(Image {
            digest: image.digest,
            manifest: ImageManifest {
                schema_version: 2,
                media_type: None,
                config: Descriptor::new(CONFIG, image.digest, 0),
                layers: Vec::new(),
            },
            manifest_size: 0,
            config: ImageConfig {
                created: None,
                architecture: "amd64".into(),
                os: "linux".into(),
                config: RunConfig {
                    labels: labels.into_iter().collect(),
                    ..RunConfig::default()
                },
                rootfs: RootFs {
                    kind: "layers".into(),
                    diff_ids: Vec::new(),
                },
            },
        })
    }
}

fn texts() -> DisplayInfo {
    DisplayInfo::new().with("en", "Sample", "For tests")
}

/// A contract with two permissions, one of which has instances, and one method.
pub fn contract() -> ContractManifest {
    let mut contract = ContractManifest::new(CONTRACT.parse().unwrap(), texts());
    let params = json!({
        "type": "object",
        "properties": { "language": { "type": "string" } },
        "additionalProperties": false,
    });
    let create = PermissionManifest {
        display_info: texts(),
        instance_keys: vec!["language".into()],
        params: Some(params),
        ..PermissionManifest::default()
    };
    let read = PermissionManifest {
        display_info: texts(),
        ..PermissionManifest::default()
    };
    let greet = MethodManifest {
        display_info: texts(),
        ..MethodManifest::default()
    };
    contract.permissions.insert("greeting:create".into(), create);
    contract.permissions.insert("greeting:read:all".into(), read);
    contract.methods.insert("greet".into(), greet);
    contract
}

/// A replica that implements nothing and needs nothing.
pub fn replica(identity: &str, info: Info) -> ReplicaManifest {
    ReplicaManifest::new(identity.parse().unwrap(), info, texts())
}

/// A replica that implements the contract.
pub fn implementing(identity: &str, info: Info) -> ReplicaManifest {
    let mut manifest = replica(identity, info);
    let identity = CONTRACT.parse().unwrap();
    manifest
        .implementations
        .insert("greeter".into(), ImplementationManifest { identity });
    manifest
}

/// The long-running, exclusive and scalable replica that implements the contract.
pub fn greeter() -> ReplicaManifest {
    implementing(GREETER, Info::long_running("greeter").exclusive().scalable())
}

/// A request for one permission of the contract.
pub fn permission(name: &str, params: Value) -> PermissionRequest {
    PermissionRequest {
        name: name.into(),
        instance_id: None,
        params: params.as_object().cloned().unwrap_or_default(),
    }
}

/// A requirement of the contract with these permissions.
pub fn requirement(permissions: Vec<PermissionRequest>) -> RequirementManifest {
    RequirementManifest {
        identity: CONTRACT.parse().unwrap(),
        display_info: None,
        optional: false,
        multiple: false,
        permissions,
    }
}

/// A oneshot that requires the contract in this way.
pub fn requiring(requirement: RequirementManifest) -> ReplicaManifest {
    let mut manifest = replica(VISITOR, Info::oneshot("visitor"));
    manifest.requirements.insert("greeter".into(), requirement);
    manifest
}

/// The oneshot that asks for both permissions of the contract.
pub fn visitor() -> ReplicaManifest {
    requiring(requirement(vec![
        permission("greeting:create", json!({ "language": "en" })),
        permission("greeting:read:all", json!({})),
    ]))
}
