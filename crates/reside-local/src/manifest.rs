//! The subset of Kubernetes manifests that one machine can carry out. Anything else is refused by the name of its
//! field: a manifest must not promise what doesn't happen, nor reach for the host.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest object name, as in Kubernetes.
const NAME_BYTES_MAX: usize = 253;
/// Largest manifest.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Keeps a process running.
    Deployment,
    /// Keeps a process running that others depend on; stopped last.
    StatefulSet,
    /// Runs a process until it succeeds.
    Job,
    /// Values for the environment of processes.
    Secret,
    /// Values for the environment of processes.
    ConfigMap,
    /// Names a set of processes.
    Service,
    /// Routes HTTP paths to services.
    Ingress,
    /// Kept, without effect on one machine.
    NetworkPolicy,
    /// Kept, without effect on one machine.
    PersistentVolumeClaim,
    /// Kept, without effect on one machine.
    ServiceAccount,
    /// Kept, without effect on one machine.
    Role,
    /// Kept, without effect on one machine.
    RoleBinding,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::Job,
        Self::Secret,
        Self::ConfigMap,
        Self::Service,
        Self::Ingress,
        Self::NetworkPolicy,
        Self::PersistentVolumeClaim,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
    ];

    /// Whether objects of this kind run a process.
    pub fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::Job)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Kind {
    type Err = ManifestError;

    fn from_str(text: &str) -> Result<Self, ManifestError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| {
                ManifestError(format!(
                    "unknown kind {:?}",
                    text.chars().take(40).collect::<String>()
                ))
            })
    }
}

/// Why a manifest is refused; names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(pub(crate) String);

/// `metadata` of an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metadata {
    /// Unique among the objects of its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Accepted and ignored: there is one namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A checked manifest: what the runtime acts on.
#[derive(Clone, Debug, PartialEq)]
pub enum Checked {
    /// A workload.
    Workload(Workload),
    /// Values for environments.
    Values(BTreeMap<String, String>),
    /// A service.
    Service(ServiceSpec),
    /// Routes.
    Ingress(IngressSpec),
    /// Kept only.
    Kept,
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// How many processes: none or one.
    pub scale: u32,
    /// How often a job may fail before it is given up.
    pub backoff_limit: u32,
    /// How long a deployment may take to get ready before it says that it doesn't.
    pub progress_deadline_seconds: u64,
    /// The process.
    pub pod: PodTemplate,
}

/// `template` of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    /// Labels that services select by.
    #[serde(default)]
    pub metadata: Metadata,
    /// The process.
    pub spec: PodSpec,
}

/// The process of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSpec {
    /// Exactly one.
    pub containers: Vec<Container>,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(default = "default_grace")]
    pub termination_grace_period_seconds: u64,
    /// Accepted; what happens follows from the kind.
    #[serde(default)]
    pub restart_policy: Option<String>,
    /// Accepted and ignored: there is one node.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Accepted and ignored: processes have no access to the runtime by it.
    #[serde(default)]
    pub service_account_name: Option<String>,
}

fn default_grace() -> u64 {
    30
}

/// A container: here, a program of an image and its environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `identity@digest`.
    pub image: String,
    /// Instead of the image's entry point.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Arguments after the entry point.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// Ports it listens on. `RESIDE_LISTEN_HOST` and `RESIDE_LISTEN_PORT` tell it 127.0.0.1 and where it finds the first.
    #[serde(default)]
    pub ports: Vec<ContainerPort>,
    /// When it may get calls; without it, at once.
    #[serde(default)]
    pub readiness_probe: Option<Probe>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Option<String>,
    /// Where its value stands.
    #[serde(default)]
    pub value_from: Option<ValueFrom>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ValueFrom {
    /// In a Secret.
    SecretKeyRef(KeyRef),
    /// In a ConfigMap.
    ConfigMapKeyRef(KeyRef),
}

/// One value of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRef {
    /// The object.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerPort {
    /// The port inside the container; names the port for services.
    pub container_port: u16,
    /// The port it really listens on; without it, the runtime chooses one.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// `TCP`.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// When a process may get calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// When a `GET` answers with a status from 200 to 399.
    #[serde(default)]
    pub http_get: Option<HttpGet>,
    /// When it accepts connections.
    #[serde(default)]
    pub tcp_socket: Option<TcpSocket>,
    /// Seconds between probes of a process that is ready.
    #[serde(default = "default_period")]
    pub period_seconds: u64,
    /// Failures in a row until a ready process isn't any more.
    #[serde(default = "default_failures")]
    pub failure_threshold: u32,
}

fn default_period() -> u64 {
    10
}

fn default_failures() -> u32 {
    3
}

/// A probe by HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpGet {
    /// The path.
    pub path: String,
    /// The container's port.
    pub port: u16,
}

/// A probe by connecting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSocket {
    /// The container's port.
    pub port: u16,
}

/// `spec` of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// Labels of the processes.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Accepted and ignored.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicePort {
    /// The port that ingresses name.
    pub port: u16,
    /// The container's port; without it, the same.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// `TCP`.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// `spec` of an Ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressSpec {
    /// Rules.
    pub rules: Vec<IngressRule>,
    /// Accepted and ignored: there is one gateway.
    #[serde(default)]
    pub ingress_class_name: Option<String>,
}

/// A rule of an Ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressRule {
    /// Accepted and ignored: the gateway has one name.
    #[serde(default)]
    pub host: Option<String>,
    /// Paths.
    pub http: IngressHttp,
}

/// Paths of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressHttp {
    /// Paths.
    pub paths: Vec<IngressPath>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressPath {
    /// The prefix.
    pub path: String,
    /// `Prefix`.
    pub path_type: String,
    /// Where it leads.
    pub backend: IngressBackend,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressBackend {
    /// A service.
    pub service: BackendService,
}

/// A service and its port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendService {
    /// The service.
    pub name: String,
    /// Its port.
    pub port: BackendPort,
}

/// The port of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendPort {
    /// Its number.
    pub number: u16,
}

/// What all manifests have; `spec` and the data of secrets are read by kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Value>,
    #[serde(rename = "type")]
    _type: Option<String>,
    data: Option<BTreeMap<String, String>>,
    string_data: Option<BTreeMap<String, String>>,
    #[serde(rename = "rules")]
    _rules: Option<Value>,
    #[serde(rename = "roleRef")]
    _role_ref: Option<Value>,
    #[serde(rename = "subjects")]
    _subjects: Option<Value>,
    #[serde(rename = "automountServiceAccountToken")]
    _automount: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeploymentSpec {
    #[serde(default = "one")]
    replicas: u32,
    #[serde(rename = "selector")]
    _selector: Option<Selector>,
    template: PodTemplate,
    #[serde(rename = "strategy")]
    _strategy: Option<Value>,
    #[serde(rename = "serviceName")]
    _service_name: Option<String>,
    #[serde(default = "default_progress_deadline")]
    progress_deadline_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JobSpec {
    #[serde(default = "default_backoff_limit")]
    backoff_limit: u32,
    template: PodTemplate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    #[serde(rename = "matchLabels")]
    _match_labels: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

fn default_backoff_limit() -> u32 {
    6
}

fn default_progress_deadline() -> u64 {
    600
}

/// Checks a manifest for the object of this kind and name.
pub fn check(kind: Kind, name: &str, manifest: &Value) -> Result<Checked, ManifestError> {
    check_name(name)?;
    let size = manifest.to_string().len();
    if size > MANIFEST_BYTES_MAX {
        return Err(ManifestError(format!(
            "the manifest has {size} bytes, {MANIFEST_BYTES_MAX} are allowed"
        )));
    }
    let envelope: Envelope = read("", manifest.clone())?;
    if envelope
        .kind
        .as_ref()
        .is_some_and(|found| *found != kind.to_string())
    {
        return Err(ManifestError(format!(
            "`kind` is {:?}, expected {kind}",
            envelope.kind.unwrap_or_default()
        )));
    }
    if !envelope.metadata.name.is_empty() && envelope.metadata.name != name {
        return Err(ManifestError(format!(
            "`metadata.name` is {:?}, expected {name:?}",
            envelope.metadata.name
        )));
    }
    let spec = || {
        envelope
            .spec
            .clone()
            .ok_or_else(|| ManifestError("`spec` is missing".to_owned()))
    };
    match kind {
        Kind::Deployment | Kind::StatefulSet => {
            let spec: DeploymentSpec = read("spec", spec()?)?;
            if spec.replicas > 1 {
                return Err(ManifestError(
                    "`spec.replicas` is more than 1, which one machine can't do".to_owned(),
                ));
            }
            check_pod(&spec.template)?;
            Ok(Checked::Workload(Workload {
                scale: spec.replicas,
                backoff_limit: 0,
                progress_deadline_seconds: spec.progress_deadline_seconds,
                pod: spec.template,
            }))
        }
        Kind::Job => {
            let spec: JobSpec = read("spec", spec()?)?;
            check_pod(&spec.template)?;
            Ok(Checked::Workload(Workload {
                scale: 1,
                backoff_limit: spec.backoff_limit,
                progress_deadline_seconds: default_progress_deadline(),
                pod: spec.template,
            }))
        }
        Kind::Secret if envelope.data.as_ref().is_some_and(|data| !data.is_empty()) => Err(ManifestError(
            "`data` is not supported, use `stringData`".to_owned(),
        )),
        Kind::Secret => Ok(Checked::Values(envelope.string_data.unwrap_or_default())),
        Kind::ConfigMap => Ok(Checked::Values(envelope.data.unwrap_or_default())),
        Kind::Service => Ok(Checked::Service(read("spec", spec()?)?)),
        Kind::Ingress => Ok(Checked::Ingress(read("spec", spec()?)?)),
        Kind::NetworkPolicy
        | Kind::PersistentVolumeClaim
        | Kind::ServiceAccount
        | Kind::Role
        | Kind::RoleBinding => Ok(Checked::Kept),
    }
}

fn check_name(name: &str) -> Result<(), ManifestError> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed) && !name.contains("..") {
        Ok(())
    } else {
        Err(ManifestError(format!(
            "{:?} is no object name",
            name.chars().take(60).collect::<String>()
        )))
    }
}

fn check_pod(pod: &PodTemplate) -> Result<(), ManifestError> {
    match pod.spec.containers.as_slice() {
        [_] => Ok(()),
        containers => Err(ManifestError(format!(
            "`spec.template.spec.containers` has {} items, expected 1",
            containers.len()
        ))),
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &str, value: Value) -> Result<T, ManifestError> {
    T::deserialize(value).map_err(|error| {
        let at = if path.is_empty() {
            String::new()
        } else {
            format!("in `{path}`: ")
        };
        ManifestError(format!("{at}{error}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(pod: Value) -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "a"}, "spec": {"template": {"spec": pod}}})
    }

    #[track_caller]
    fn check_refused(pod: Value, field: &str) {
        let error = check(Kind::Deployment, "a", &deployment(pod))
            .unwrap_err()
            .to_string();
        assert!(error.contains(field), "{error}");
    }

    #[test]
    fn what_reaches_for_the_host_is_refused_by_field_name() {
        let container = json!({"name": "a", "image": "i"});
        check_refused(
            json!({"containers": [container], "hostNetwork": true}),
            "hostNetwork",
        );
        check_refused(json!({"containers": [container], "volumes": []}), "volumes");
        let privileged = json!({"name": "a", "image": "i", "securityContext": {"privileged": true}});
        check_refused(json!({"containers": [privileged]}), "securityContext");
        check_refused(json!({"containers": [container, container]}), "containers");
    }

    #[test]
    fn a_manifest_must_be_of_its_kind_and_name() {
        let manifest = deployment(json!({"containers": [{"name": "a", "image": "i"}]}));
        assert!(check(Kind::Deployment, "a", &manifest).is_ok());
        assert!(check(Kind::Deployment, "b", &manifest).is_err());
        assert!(check(Kind::Job, "a", &manifest).is_err());
        assert!(check(Kind::Deployment, "../a", &manifest).is_err());
    }
}
