//! Loading: one value, or everything below it to a depth.

use std::collections::HashSet;
use std::fmt;

use cojson::group::Role;
use cojson::ids::CoId;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::driver::LoadFailure;
use crate::error::{LoadError, SchemaError};
use crate::node::Node;
use crate::value::{Co, CoValue, Link, Ref, check_access};

/// How many values one deep load asks for at once.
const CONCURRENT_LOADS: usize = 256;

/// What a value refers to at one place, or why that can't be read.
#[doc(hidden)]
#[derive(Debug)]
pub struct Child {
    pub(crate) path: String,
    pub(crate) link: Result<Link, SchemaError>,
}

impl Child {
    /// Adds what reading one item gave.
    pub(crate) fn add(children: &mut Vec<Self>, path: &str, error: Option<SchemaError>, found: Vec<Link>) {
        if let Some(error) = error {
            children.push(Self {
                path: path.to_owned(),
                link: Err(error),
            });
        } else {
            children.extend(found.into_iter().map(|link| Self {
                path: path.to_owned(),
                link: Ok(link),
            }));
        }
    }
}

/// A value loaded with what it refers to, and what of that could not be loaded.
#[derive(Debug)]
pub struct Loaded<T> {
    value: Co<T>,
    failed: Vec<FailedLoad>,
}

/// Something below a value that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLoad {
    /// Where: fields, keys and indices from the value on, as in `greetings.3.author`.
    pub path: String,
    /// Why.
    pub error: LoadError,
}

impl fmt::Display for FailedLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.error)
    }
}

impl<T> Loaded<T> {
    /// The value.
    pub fn value(&self) -> &Co<T> {
        &self.value
    }

    /// The value alone.
    pub fn into_value(self) -> Co<T> {
        self.value
    }

    /// What could not be loaded.
    pub fn failed(&self) -> &[FailedLoad] {
        &self.failed
    }

    /// The value if everything below it could be loaded, or the first reason why not.
    pub fn complete(self) -> Result<Co<T>, LoadError> {
        match self.failed.into_iter().next() {
            None => Ok(self.value),
            Some(failed) => Err(failed.error),
        }
    }
}

impl Node {
    /// Loads a value: from memory, from storage, or from the server. It stays up to date from then on.
    pub async fn load<T: CoValue>(&self, reference: &Ref<T>) -> Result<Co<T>, LoadError> {
        self.make_available(reference.id()).await?;
        self.settled(reference)
    }

    /// A value that is in memory, with its content brought up to date if we may write to it.
    pub(crate) fn settled<T: CoValue>(&self, reference: &Ref<T>) -> Result<Co<T>, LoadError> {
        let value = self.loaded(reference)?;
        if value.my_role().is_some_and(Role::can_write) {
            T::migrate_value(&value).map_err(|error| LoadError::Migration {
                id: value.id().clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(value)
    }

    /// A value that is in memory already, because it was loaded or made before.
    pub fn loaded<T: CoValue>(&self, reference: &Ref<T>) -> Result<Co<T>, LoadError> {
        let id = reference.id();
        self.core(|core, _| {
            check_access(core, id, T::SHAPE)?;
            let owner = core.log(id).and_then(|log| log.header().owner()).unwrap_or(id);
            Ok(Co::new(self, id.clone(), owner.clone()))
        })
    }

    /// Loads a value and what it refers to: its fields and items with depth 1, theirs with depth 2, and so on.
    ///
    /// It fails if the value itself can't be loaded; what is below it is reported one by one in [`Loaded::failed`].
    pub async fn load_deep<T: CoValue>(
        &self,
        reference: &Ref<T>,
        depth: usize,
    ) -> Result<Loaded<T>, LoadError> {
        let value = self.load(reference).await?;
        let mut failed = Vec::new();
        let mut met = HashSet::from([reference.id().clone()]);
        let mut level = vec![(String::new(), Link::of(reference))];
        for _ in 0..depth {
            if level.is_empty() {
                break;
            }
            let next = self.children_of(level, &mut met, &mut failed);
            level = self.load_all(next, &mut failed).await;
        }
        failed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Loaded { value, failed })
    }

    /// What the values of one level refer to, each value once.
    fn children_of(
        &self,
        level: Vec<(String, Link)>,
        met: &mut HashSet<CoId>,
        failed: &mut Vec<FailedLoad>,
    ) -> Vec<(String, Link)> {
        let mut next = Vec::new();
        for (path, link) in level {
            match self.core(|core, _| (link.children)(core, &link.id)) {
                Ok(children) => {
                    for child in children {
                        let path = join(&path, &child.path);
                        match child.link {
                            Ok(link) if met.insert(link.id.clone()) => next.push((path, link)),
                            Ok(_) => {}
                            Err(error) => failed.push(FailedLoad {
                                path,
                                error: error.of(&link.id).into(),
                            }),
                        }
                    }
                }
                Err(error) => failed.push(FailedLoad { path, error }),
            }
        }
        next
    }

    /// Loads values side by side and returns those that came.
    async fn load_all(
        &self,
        links: Vec<(String, Link)>,
        failed: &mut Vec<FailedLoad>,
    ) -> Vec<(String, Link)> {
        let mut waiting = links.into_iter();
        let mut loading = FuturesUnordered::new();
        let mut loaded = Vec::new();
        loop {
            while loading.len() < CONCURRENT_LOADS {
                let Some((path, link)) = waiting.next() else { break };
                loading.push(async move {
                    let result = self.make_available(&link.id).await;
                    let result = result.and_then(|()| (link.settle)(self, &link.id));
                    (path, link, result)
                });
            }
            match loading.next().await {
                Some((path, link, Ok(()))) => loaded.push((path, link)),
                Some((path, _, Err(error))) => failed.push(FailedLoad { path, error }),
                None => return loaded,
            }
        }
    }

    /// Waits until a value and what it depends on are in memory.
    pub(crate) async fn make_available(&self, id: &CoId) -> Result<(), LoadError> {
        self.driver()
            .load(id, self.load_timeout())
            .await
            .map_err(|failure| match failure {
                LoadFailure::Unavailable => LoadError::Unavailable(id.clone()),
                LoadFailure::Timeout => LoadError::Timeout(id.clone()),
            })
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
