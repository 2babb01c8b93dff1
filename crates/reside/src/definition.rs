//! Definitions of replicas: what a replica is called, provides and uses. The manifest is made from it.

use std::marker::PhantomData;

use crate::{
    contract::{Contract, Permission},
    display::DisplayInfo,
    identity::{Identity, InvalidIdentity},
    implementation::ImplementationSpec,
    manifest::{
        CheckError, ContractManifest, ImplementationManifest, Info, ManifestError, PermissionRequest,
        ReplicaManifest, RequirementManifest,
    },
};

/// What a replica is called, provides and uses.
pub struct ReplicaDefinition {
    identity: String,
    info: Info,
    display_info: DisplayInfo,
    pub(crate) implementations: Vec<(String, ImplementationSpec)>,
    requirements: Vec<(String, RequirementSpec)>,
}

struct RequirementSpec {
    manifest: Result<RequirementManifest, serde_json::Error>,
    contract: fn() -> ContractManifest,
}

/// A contract that a replica uses, while it is being described; see [`ReplicaDefinition::requires`].
pub struct RequirementBuilder<C> {
    manifest: Result<RequirementManifest, serde_json::Error>,
    contract: PhantomData<C>,
}

/// A definition that no manifest can be made from.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The identity isn't an image name.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// A name, a text or a count breaks the rules.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Two implementations or two requirements have one key.
    #[error("the key `{0}` is used twice")]
    DuplicateKey(String),
    /// The params of a permission can't be written as a JSON object.
    #[error("the params of a permission in requirement `{requirement}` can't be stored")]
    Params {
        /// Key of the requirement.
        requirement: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The permissions asked for don't fit the contracts.
    #[error("{}", join(.0))]
    Permissions(Vec<CheckError>),
}

fn join(errors: &[CheckError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl ReplicaDefinition {
    /// Defines the replica that is published under the identity.
    pub fn new(identity: &str, info: Info) -> Self {
        let (display_info, implementations, requirements) = Default::default();
        Self {
            identity: identity.to_owned(),
            info,
            display_info,
            implementations,
            requirements,
        }
    }

    /// Adds title and description in English.
    #[must_use]
    pub fn en(self, title: &str, description: &str) -> Self {
        self.text("en", title, description)
    }

    /// Adds title and description in Russian.
    #[must_use]
    pub fn ru(self, title: &str, description: &str) -> Self {
        self.text("ru", title, description)
    }

    /// Adds title and description in the language of this BCP 47 tag.
    #[must_use]
    pub fn text(mut self, language: &str, title: &str, description: &str) -> Self {
        self.display_info = self.display_info.with(language, title, description);
        self
    }

    /// Provides a contract.
    #[must_use]
    pub fn implements<C: Contract>(mut self, key: &str) -> Self {
        self.implementations
            .push((key.to_owned(), ImplementationSpec::of::<C>()));
        self
    }

    /// Uses a contract, with what the closure adds to the requirement.
    #[must_use]
    pub fn requires<C: Contract>(
        mut self,
        key: &str,
        describe: impl FnOnce(RequirementBuilder<C>) -> RequirementBuilder<C>,
    ) -> Self {
        let manifest = RequirementManifest {
            identity: C::identity(),
            display_info: None,
            optional: false,
            multiple: false,
            permissions: Vec::new(),
        };
        let builder = describe(RequirementBuilder {
            manifest: Ok(manifest),
            contract: PhantomData,
        });
        let spec = RequirementSpec {
            manifest: builder.manifest,
            contract: C::manifest,
        };
        self.requirements.push((key.to_owned(), spec));
        self
    }

    /// Returns the manifest that travels in the replica's image.
    pub fn manifest(&self) -> Result<ReplicaManifest, DefinitionError> {
        let identity: Identity = self.identity.parse()?;
        let mut manifest = ReplicaManifest::new(identity, self.info.clone(), self.display_info.clone());
        for (key, spec) in &self.implementations {
            let implementation = ImplementationManifest {
                identity: spec.identity(),
            };
            if manifest
                .implementations
                .insert(key.clone(), implementation)
                .is_some()
            {
                return Err(DefinitionError::DuplicateKey(key.clone()));
            }
        }
        for (key, spec) in &self.requirements {
            let requirement = match &spec.manifest {
                Ok(requirement) => requirement.clone(),
                Err(source) => {
                    let source = serde::ser::Error::custom(source);
                    return Err(DefinitionError::Params {
                        requirement: key.clone(),
                        source,
                    });
                }
            };
            if manifest.requirements.insert(key.clone(), requirement).is_some() {
                return Err(DefinitionError::DuplicateKey(key.clone()));
            }
        }
        manifest.check()?;
        let contracts: Vec<_> = self
            .requirements
            .iter()
            .map(|(_, spec)| (spec.contract)())
            .collect();
        manifest
            .check_against(&contracts)
            .map_err(DefinitionError::Permissions)?;
        Ok(manifest)
    }

    /// Returns the identity as it was given.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Returns what can't change between versions.
    pub fn info(&self) -> &Info {
        &self.info
    }
}

impl<C: Contract> RequirementBuilder<C> {
    /// The replica can do without.
    #[must_use]
    pub fn optional(self) -> Self {
        self.change(|manifest| manifest.optional = true)
    }

    /// The replica can use several implementing replicas at once.
    #[must_use]
    pub fn multiple(self) -> Self {
        self.change(|manifest| manifest.multiple = true)
    }

    /// Says in English what the requirement is for.
    #[must_use]
    pub fn en(self, title: &str, description: &str) -> Self {
        self.text("en", title, description)
    }

    /// Says in Russian what the requirement is for.
    #[must_use]
    pub fn ru(self, title: &str, description: &str) -> Self {
        self.text("ru", title, description)
    }

    /// Says in the language of this BCP 47 tag what the requirement is for.
    #[must_use]
    pub fn text(self, language: &str, title: &str, description: &str) -> Self {
        self.change(|manifest| {
            let info = manifest.display_info.take().unwrap_or_default();
            manifest.display_info = Some(info.with(language, title, description));
        })
    }

    /// Asks for a permission; strings among its params may hold `{replica.name}`.
    #[must_use]
    pub fn permission<P: Permission<Contract = C>>(mut self, permission: &P) -> Self {
        match (&mut self.manifest, permission.params()) {
            (Ok(manifest), Ok(params)) => manifest.permissions.push(PermissionRequest {
                name: P::NAME.to_owned(),
                instance_id: crate::permission::instance_id(P::INSTANCE_KEYS, &params),
                params,
            }),
            (Ok(_), Err(error)) => self.manifest = Err(error),
            (Err(_), _) => {}
        }
        self
    }

    fn change(mut self, change: impl FnOnce(&mut RequirementManifest)) -> Self {
        if let Ok(manifest) = &mut self.manifest {
            change(manifest);
        }
        self
    }
}
