//! The objects of the runtime, in memory and on disk: one file per object, replaced as a whole, so that a crash leaves
//! the old or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use crate::manifest::{Checked, Kind, ManifestError, check};

/// Changes a slow watcher may be behind before it has to start again.
const EVENTS_MAX: usize = 1024;

/// Names an object.
pub type Key = (Kind, String);

/// An object: the manifest as it was applied, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Never used twice, unlike the name.
    pub uid: String,
    /// Counts changes of the manifest.
    pub generation: u64,
    /// The manifest.
    pub manifest: Value,
    /// The observed state.
    pub status: Value,
}

impl Object {
    /// Returns the object as an orchestrator shows it: the manifest with its metadata and status filled in.
    pub fn live(&self) -> Value {
        let mut live = self.manifest.clone();
        live["metadata"]["uid"] = json!(self.uid);
        live["metadata"]["generation"] = json!(self.generation);
        live["status"] = self.status.clone();
        live
    }
}

/// The objects.
pub struct Store {
    folder: PathBuf,
    objects: RwLock<BTreeMap<Key, (Object, Checked)>>,
    events: broadcast::Sender<Key>,
    /// Wakes the controller without any object having changed.
    nudges: watch::Sender<()>,
}

/// Why an object isn't stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The disk refused it.
    #[error("cannot write the object")]
    Io(#[from] io::Error),
}

impl Store {
    /// Opens the folder and reads what is there. A file that can't be read is set aside, not lost and not obeyed.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let mut objects = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(key) = key_of(&path) else { continue };
            match read_object(&path, &key) {
                Ok(object) => drop(objects.insert(key, object)),
                Err(problem) => {
                    tracing::error!(file = %path.display(), problem, "an object can't be read and is set aside");
                    fs::rename(&path, path.with_extension("damaged"))?;
                }
            }
        }
        let (events, _) = broadcast::channel(EVENTS_MAX);
        Ok(Self {
            folder,
            objects: RwLock::new(objects),
            events,
            nudges: watch::Sender::new(()),
        })
    }

    /// Makes an object be as the manifest says; the same manifest again changes nothing.
    pub fn apply(&self, kind: Kind, name: &str, manifest: Value) -> Result<Object, StoreError> {
        let checked = check(kind, name, &manifest)?;
        let key = (kind, name.to_owned());
        let mut objects = self.objects.write();
        let object = match objects.get(&key) {
            Some((object, _)) if object.manifest == manifest => return Ok(object.clone()),
            Some((object, _)) => Object {
                generation: object.generation + 1,
                manifest,
                ..object.clone()
            },
            None => Object {
                uid: random_uid(),
                generation: 1,
                manifest,
                status: json!({}),
            },
        };
        self.save(&key, &object)?;
        objects.insert(key.clone(), (object.clone(), checked));
        drop(objects);
        self.changed(key);
        Ok(object)
    }

    /// Removes an object; tells whether there was one.
    pub fn delete(&self, kind: Kind, name: &str) -> io::Result<bool> {
        let key = (kind, name.to_owned());
        let mut objects = self.objects.write();
        if !objects.contains_key(&key) {
            return Ok(false);
        }
        fs::remove_file(self.file(&key))?;
        objects.remove(&key);
        drop(objects);
        self.changed(key);
        Ok(true)
    }

    /// Notes what was observed of an object, unless the object is gone or another one has its name.
    pub fn set_status(&self, key: &Key, uid: &str, status: Value) {
        let mut objects = self.objects.write();
        let Some((object, _)) = objects.get_mut(key).filter(|(object, _)| object.uid == uid) else {
            return;
        };
        if object.status == status {
            return;
        }
        object.status = status;
        let object = object.clone();
        // Jobs must remember that they are done; everything else is observed anew after a restart.
        if key.0 == Kind::Job
            && let Err(error) = self.save(key, &object)
        {
            tracing::error!(name = key.1, %error, "cannot save the status of a job");
        }
        drop(objects);
        self.changed(key.clone());
    }

    /// Returns an object.
    pub fn get(&self, key: &Key) -> Option<(Object, Checked)> {
        self.objects.read().get(key).cloned()
    }

    /// Returns all objects.
    pub fn list(&self) -> Vec<(Key, Object)> {
        self.objects
            .read()
            .iter()
            .map(|(key, (object, _))| (key.clone(), object.clone()))
            .collect()
    }

    /// Returns the objects that satisfy a condition, with their checked manifests.
    pub fn checked(&self, wanted: impl Fn(Kind) -> bool) -> Vec<(Key, Object, Checked)> {
        let objects = self.objects.read();
        let matching = objects.iter().filter(|((kind, _), _)| wanted(*kind));
        matching
            .map(|(key, (object, checked))| (key.clone(), object.clone(), checked.clone()))
            .collect()
    }

    /// Returns a value of a Secret or ConfigMap.
    pub fn value(&self, kind: Kind, name: &str, key: &str) -> Option<String> {
        match self.objects.read().get(&(kind, name.to_owned())) {
            Some((_, Checked::Values(values))) => values.get(key).cloned(),
            _ => None,
        }
    }

    /// Tells of every change from now on.
    pub fn watch(&self) -> broadcast::Receiver<Key> {
        self.events.subscribe()
    }

    /// Wakes whoever [waits](Self::changes) for changes.
    pub fn nudge(&self) {
        self.nudges.send_replace(());
    }

    /// Marks that something may have changed; several changes count as one.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.nudges.subscribe()
    }

    fn changed(&self, key: Key) {
        // Nobody watching is fine.
        let _ = self.events.send(key);
        self.nudge();
    }

    fn file(&self, (kind, name): &Key) -> PathBuf {
        self.folder.join(format!("{kind}_{name}.json"))
    }

    fn save(&self, key: &Key, object: &Object) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec_pretty(object)?)?;
        file.as_file().sync_all()?;
        file.persist(self.file(key)).map_err(|error| error.error)?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

fn key_of(path: &Path) -> Option<Key> {
    let (kind, name) = path
        .file_name()?
        .to_str()?
        .strip_suffix(".json")?
        .split_once('_')?;
    Some((kind.parse().ok()?, name.to_owned()))
}

fn read_object(path: &Path, (kind, name): &Key) -> Result<(Object, Checked), String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let object: Object = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let checked = check(*kind, name, &object.manifest).map_err(|error| error.to_string())?;
    Ok((object, checked))
}

fn random_uid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
