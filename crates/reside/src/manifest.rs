//! Manifests: the JSON that describes a contract or a replica and travels in the image label `io.reside.manifest`.
//!
//! Whatever is parsed here is checked: names, sizes, counts. What needs other manifests is checked by
//! [`ReplicaManifest::check_against`].

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    display::{DisplayInfo, InvalidDisplayInfo},
    identity::Identity,
    permission::{fill_replica_name, fill_replica_name_in, instance_id},
};

/// The image label that holds the base64 of a manifest.
pub const MANIFEST_LABEL: &str = "io.reside.manifest";
/// The largest manifest, as JSON.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// The longest name of a replica.
pub const REPLICA_NAME_BYTES_MAX: usize = 40;

const ENTRIES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 100;
/// More problems of params than this are not told at once.
const PROBLEMS_MAX: usize = 8;

/// The manifest of an image, whichever kind it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// The image is a contract.
    Contract(ContractManifest),
    /// The image is a replica.
    Replica(ReplicaManifest),
}

/// The manifest of a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContractManifest {
    #[serde(rename = "type")]
    kind: ContractKind,
    /// The contract's image name.
    pub identity: Identity,
    /// Texts for people.
    pub display_info: DisplayInfo,
    /// Permissions by name.
    #[serde(default)]
    pub permissions: IndexMap<String, PermissionManifest>,
    /// Methods by name, as they are on the wire.
    #[serde(default)]
    pub methods: IndexMap<String, MethodManifest>,
}

/// A permission that a contract defines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionManifest {
    /// Texts for people; titles may hold `{param}` placeholders.
    pub display_info: DisplayInfo,
    /// Params that tell instances apart; none: there is one instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_keys: Vec<String>,
    /// JSON Schema of the params.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// What it allows at worst.
    #[serde(default, skip_serializing_if = "is_default_risk")]
    pub risk: Risk,
}

/// What a permission allows at worst, as its contract says; whoever approves sees what is highest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// To see something.
    Read,
    /// To make, change or delete something; also whatever says nothing about itself.
    #[default]
    Write,
    /// To decide what others may do, or what runs.
    Admin,
}

impl Risk {
    /// Returns the word for it with its meaning.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Read => "read: can see",
            Self::Write => "write: can change or delete",
            Self::Admin => "admin: can decide what others may do, or what runs",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// A method that a contract defines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MethodManifest {
    /// Texts for people.
    pub display_info: DisplayInfo,
    /// JSON Schema of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// JSON Schema of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

/// The manifest of a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaManifest {
    #[serde(rename = "type")]
    kind: ReplicaKind,
    /// The replica's image name.
    pub identity: Identity,
    /// What can't change once the replica has appeared in a cluster.
    pub info: Info,
    /// Texts for people.
    pub display_info: DisplayInfo,
    /// Contracts it provides, by key.
    #[serde(default)]
    pub implementations: IndexMap<String, ImplementationManifest>,
    /// Contracts it uses, by key.
    #[serde(default)]
    pub requirements: IndexMap<String, RequirementManifest>,
}

/// What can't change once a replica has appeared in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Info {
    /// Technical name: `[a-z0-9-]`, starts with a letter, at most 40 characters.
    pub name: String,
    /// Whether it runs until it is stopped or until it is done.
    pub class: ReplicaClass,
    /// One per cluster: loading it again updates it.
    #[serde(default)]
    pub exclusive: bool,
    /// Old and new version may overlap during an update.
    #[serde(default)]
    pub scalable: bool,
}

/// How long a replica runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaClass {
    /// Until it is stopped.
    LongRunning,
    /// Until its work is done.
    Oneshot,
}

/// A contract that a replica provides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImplementationManifest {
    /// The contract.
    pub identity: Identity,
}

/// A contract that a replica uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequirementManifest {
    /// The contract.
    pub identity: Identity,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_info: Option<DisplayInfo>,
    /// It can do without.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// It can use several replicas at once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub multiple: bool,
    /// Permissions it asks for.
    #[serde(default)]
    pub permissions: Vec<PermissionRequest>,
}

/// A permission that a replica asks for when it is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionRequest {
    /// Its name in the contract.
    pub name: String,
    /// Which instance, if the permission has instance keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its params; strings may hold `{replica.name}`.
    #[serde(default)]
    pub params: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ContractKind {
    #[default]
    Contract,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum ReplicaKind {
    #[default]
    Replica,
}

/// A manifest that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than a label should be.
    #[error("the manifest has {0} bytes, more than {MANIFEST_BYTES_MAX}")]
    TooLarge(usize),
    /// Not JSON, or not in the shape of a manifest.
    #[error("the manifest is malformed")]
    Malformed(#[source] serde_json::Error),
    /// The manifest describes something else than expected.
    #[error("the manifest is of type `{found}`, expected `{expected}`")]
    WrongType {
        /// What it should describe.
        expected: &'static str,
        /// What it says it describes.
        found: String,
    },
    /// A name breaks the rules.
    #[error("{what} `{name}` is not valid: {rule}")]
    InvalidName {
        /// What is named so.
        what: &'static str,
        /// The name.
        name: String,
        /// What names must look like.
        rule: &'static str,
    },
    /// More entries than anybody needs.
    #[error("more than {ENTRIES_MAX} {0}")]
    TooMany(&'static str),
    /// A text is missing, too long or in no language.
    #[error("the texts of {of} are not valid")]
    DisplayInfo {
        /// Whose texts they are.
        of: String,
        /// What is wrong with them.
        #[source]
        source: InvalidDisplayInfo,
    },
    /// One contract is implemented under two keys.
    #[error("the contract {0} is implemented twice")]
    ImplementedTwice(Identity),
    /// A permission is asked for twice.
    #[error("requirement `{requirement}` asks for permission `{permission}` twice")]
    RequestedTwice {
        /// Key of the requirement.
        requirement: String,
        /// The permission, instance included.
        permission: String,
    },
}

/// A replica's manifest doesn't fit the contracts it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The contract's manifest isn't among those given.
    #[error("requirement `{requirement}`: the manifest of {contract} is not known")]
    UnknownContract {
        /// Key of the requirement.
        requirement: String,
        /// The contract.
        contract: Identity,
    },
    /// The contract has no such permission.
    #[error("requirement `{requirement}`: {contract} defines no permission `{permission}`")]
    UnknownPermission {
        /// Key of the requirement.
        requirement: String,
        /// The contract.
        contract: Identity,
        /// The name asked for.
        permission: String,
    },
    /// The params don't match the permission's schema.
    #[error("requirement `{requirement}`: the params of permission `{permission}` are not valid: {reason}")]
    InvalidParams {
        /// Key of the requirement.
        requirement: String,
        /// The permission.
        permission: String,
        /// What is wrong.
        reason: String,
    },
    /// The instance id isn't the one that follows from the params.
    #[error(
        "requirement `{requirement}`: permission `{permission}` has the instance id `{found}`, expected `{expected}`"
    )]
    WrongInstance {
        /// Key of the requirement.
        requirement: String,
        /// The permission.
        permission: String,
        /// What follows from the params.
        expected: String,
        /// What the manifest says.
        found: String,
    },
}

impl Manifest {
    /// Parses and checks the manifest of an image.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let value = parse_bounded(json)?;
        match value.get("type").and_then(Value::as_str) {
            Some("contract") => ContractManifest::from_value(value).map(Self::Contract),
            Some("replica") => ReplicaManifest::from_value(value).map(Self::Replica),
            _ => Err(wrong_type("contract` or `replica", &value)),
        }
    }

    /// Returns the identity, which must be the name of the image that carries the manifest.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Contract(contract) => &contract.identity,
            Self::Replica(replica) => &replica.identity,
        }
    }
}

impl ContractManifest {
    /// Makes the manifest of a contract without permissions and methods.
    pub fn new(identity: Identity, display_info: DisplayInfo) -> Self {
        let (permissions, methods) = Default::default();
        Self {
            kind: ContractKind::Contract,
            identity,
            display_info,
            permissions,
            methods,
        }
    }

    /// Parses and checks a contract's manifest.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::from_value(parse_bounded(json)?)
    }

    /// Checks a contract's manifest that was parsed to JSON.
    pub fn from_value(value: Value) -> Result<Self, ManifestError> {
        let manifest: Self = from_typed(value, "contract")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks names, counts and texts.
    pub fn check(&self) -> Result<(), ManifestError> {
        check_display("the contract", &self.display_info)?;
        check_count("permissions", self.permissions.len())?;
        check_count("methods", self.methods.len())?;
        for (name, permission) in &self.permissions {
            check_permission_name(name)?;
            check_display(&format!("permission `{name}`"), &permission.display_info)?;
            check_count("instance keys", permission.instance_keys.len())?;
            for key in &permission.instance_keys {
                check_name("instance key", key, is_param_name(key), PARAM_NAME_RULE)?;
            }
        }
        for (name, method) in &self.methods {
            check_name("method", name, is_param_name(name), PARAM_NAME_RULE)?;
            check_display(&format!("method `{name}`"), &method.display_info)?;
        }
        Ok(())
    }
}

impl ReplicaManifest {
    /// Makes the manifest of a replica without implementations and requirements.
    pub fn new(identity: Identity, info: Info, display_info: DisplayInfo) -> Self {
        let (implementations, requirements) = Default::default();
        Self {
            kind: ReplicaKind::Replica,
            identity,
            info,
            display_info,
            implementations,
            requirements,
        }
    }

    /// Parses and checks a replica's manifest.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::from_value(parse_bounded(json)?)
    }

    /// Checks a replica's manifest that was parsed to JSON.
    pub fn from_value(value: Value) -> Result<Self, ManifestError> {
        let manifest: Self = from_typed(value, "replica")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks names, counts and texts, and that no contract is implemented twice.
    pub fn check(&self) -> Result<(), ManifestError> {
        check_name(
            "replica name",
            &self.info.name,
            is_replica_name(&self.info.name),
            REPLICA_NAME_RULE,
        )?;
        check_display("the replica", &self.display_info)?;
        check_count("implementations", self.implementations.len())?;
        check_count("requirements", self.requirements.len())?;
        for (at, (key, implementation)) in self.implementations.iter().enumerate() {
            check_name("implementation key", key, is_key(key), KEY_RULE)?;
            if self
                .implementations
                .values()
                .take(at)
                .any(|other| other.identity == implementation.identity)
            {
                return Err(ManifestError::ImplementedTwice(implementation.identity.clone()));
            }
        }
        for (key, requirement) in &self.requirements {
            check_name("requirement key", key, is_key(key), KEY_RULE)?;
            if let Some(display_info) = &requirement.display_info {
                check_display(&format!("requirement `{key}`"), display_info)?;
            }
            check_count("permissions", requirement.permissions.len())?;
            for (at, permission) in requirement.permissions.iter().enumerate() {
                check_permission_name(&permission.name)?;
                let same = |other: &PermissionRequest| {
                    (&other.name, &other.instance_id) == (&permission.name, &permission.instance_id)
                };
                if requirement.permissions.iter().take(at).any(same) {
                    let permission = permission
                        .instance_id
                        .iter()
                        .fold(permission.name.clone(), |name, id| name + ":" + id);
                    return Err(ManifestError::RequestedTwice {
                        requirement: key.clone(),
                        permission,
                    });
                }
            }
        }
        Ok(())
    }

    /// Checks the permissions that the replica asks for against the manifests of the contracts it requires, and
    /// returns everything that is wrong with them.
    pub fn check_against<'c>(
        &self,
        contracts: impl IntoIterator<Item = &'c ContractManifest>,
    ) -> Result<(), Vec<CheckError>> {
        let contracts: Vec<_> = contracts.into_iter().collect();
        let mut errors = Vec::new();
        for (key, requirement) in &self.requirements {
            match contracts
                .iter()
                .find(|contract| contract.identity == requirement.identity)
            {
                Some(contract) => {
                    errors.extend(
                        requirement
                            .permissions
                            .iter()
                            .filter_map(|asked| check_request(key, asked, contract).err()),
                    );
                }
                None => errors.push(CheckError::UnknownContract {
                    requirement: key.clone(),
                    contract: requirement.identity.clone(),
                }),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Fills `{replica.name}` in the params and instance ids of the permissions asked for.
    pub fn fill_replica_name(&mut self, replica_name: &str) {
        let requests = self
            .requirements
            .values_mut()
            .flat_map(|requirement| &mut requirement.permissions);
        for request in requests {
            request
                .params
                .values_mut()
                .for_each(|value| fill_replica_name_in(value, replica_name));
            if let Some(instance) = &mut request.instance_id {
                *instance = fill_replica_name(instance, replica_name);
            }
        }
    }
}

impl Info {
    /// A replica that runs until it is stopped.
    pub fn long_running(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            class: ReplicaClass::LongRunning,
            exclusive: false,
            scalable: false,
        }
    }

    /// A replica that runs until its work is done.
    pub fn oneshot(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            class: ReplicaClass::Oneshot,
            exclusive: false,
            scalable: false,
        }
    }

    /// One per cluster: loading it again updates it.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Old and new version may overlap during an update.
    #[must_use]
    pub fn scalable(mut self) -> Self {
        self.scalable = true;
        self
    }
}

const REPLICA_NAME_RULE: &str = "lower-case letters, digits and dashes, first a letter, at most 40";
const KEY_RULE: &str = "letters, digits and dashes, first a lower-case letter, at most 40";
const PARAM_NAME_RULE: &str = "letters, digits and underscores, first a letter, at most 100";
const PERMISSION_NAME_RULE: &str =
    "words of lower-case letters, digits and dashes joined by `:`, at most 100";

/// Tells whether a replica may be called so: `[a-z0-9-]`, starts with a letter, at most 40 characters.
pub fn is_replica_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    starts_lower(name) && name.len() <= REPLICA_NAME_BYTES_MAX && name.bytes().all(allowed)
}

fn is_key(key: &str) -> bool {
    starts_lower(key)
        && key.len() <= 40
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_param_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    starts_well
        && name.len() <= NAME_BYTES_MAX
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_permission_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let word = |word: &str| starts_lower(word) && word.bytes().all(allowed);
    name.len() <= NAME_BYTES_MAX && name.split(':').all(word)
}

fn starts_lower(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
}

fn parse_bounded(json: &[u8]) -> Result<Value, ManifestError> {
    if json.len() > MANIFEST_BYTES_MAX {
        return Err(ManifestError::TooLarge(json.len()));
    }
    serde_json::from_slice(json).map_err(ManifestError::Malformed)
}

fn from_typed<T: DeserializeOwned>(value: Value, expected: &'static str) -> Result<T, ManifestError> {
    if value.get("type").and_then(Value::as_str) != Some(expected) {
        return Err(wrong_type(expected, &value));
    }
    serde_json::from_value(value).map_err(ManifestError::Malformed)
}

fn wrong_type(expected: &'static str, value: &Value) -> ManifestError {
    let found = value
        .get("type")
        .map_or_else(|| "none".to_owned(), crate::permission::value_text);
    ManifestError::WrongType {
        expected,
        found: found.chars().take(NAME_BYTES_MAX).collect(),
    }
}

fn check_name(what: &'static str, name: &str, valid: bool, rule: &'static str) -> Result<(), ManifestError> {
    let name = || name.chars().take(NAME_BYTES_MAX).collect();
    if valid {
        Ok(())
    } else {
        Err(ManifestError::InvalidName {
            what,
            name: name(),
            rule,
        })
    }
}

fn check_permission_name(name: &str) -> Result<(), ManifestError> {
    check_name("permission", name, is_permission_name(name), PERMISSION_NAME_RULE)
}

fn check_count(what: &'static str, count: usize) -> Result<(), ManifestError> {
    if count <= ENTRIES_MAX {
        Ok(())
    } else {
        Err(ManifestError::TooMany(what))
    }
}

fn check_display(of: &str, info: &DisplayInfo) -> Result<(), ManifestError> {
    info.check().map_err(|source| ManifestError::DisplayInfo {
        of: of.to_owned(),
        source,
    })
}

fn check_request(
    key: &str,
    asked: &PermissionRequest,
    contract: &ContractManifest,
) -> Result<(), CheckError> {
    let Some(permission) = contract.permissions.get(&asked.name) else {
        let (contract, permission) = (contract.identity.clone(), asked.name.clone());
        return Err(CheckError::UnknownPermission {
            requirement: key.to_owned(),
            contract,
            permission,
        });
    };
    permission
        .check_params(&asked.params)
        .map_err(|reason| CheckError::InvalidParams {
            requirement: key.to_owned(),
            permission: asked.name.clone(),
            reason,
        })?;
    let expected = instance_id(&permission.instance_keys, &asked.params);
    if asked.instance_id == expected {
        return Ok(());
    }
    Err(CheckError::WrongInstance {
        requirement: key.to_owned(),
        permission: asked.name.clone(),
        expected: expected.unwrap_or_default(),
        found: asked.instance_id.clone().unwrap_or_default(),
    })
}

impl PermissionManifest {
    /// Checks params against the schema and that each instance key is among them; the error says what is wrong.
    pub fn check_params(&self, params: &Map<String, Value>) -> Result<(), String> {
        if let Some(key) = self.instance_keys.iter().find(|key| !params.contains_key(*key)) {
            return Err(format!("`{key}` is missing"));
        }
        let Some(schema) = &self.params else { return Ok(()) };
        let validator =
            jsonschema::validator_for(schema).map_err(|error| format!("the schema is broken: {error}"))?;
        let params = Value::Object(params.clone());
        let problems: Vec<String> = validator
            .iter_errors(&params)
            .take(PROBLEMS_MAX)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("`{path}`: {error}"),
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }
}

fn is_default_risk(risk: &Risk) -> bool {
    *risk == Risk::default()
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
