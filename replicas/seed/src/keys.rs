//! The secrets of the first three accounts, kept in a file until the cluster itself keeps them: a bootstrap that is cut
//! off goes on with the same accounts.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jazz::driver::OsEntropy;
use jazz::{AgentSecret, Credentials, Ref, SecretSeed};
use reside::ControlBlock;
use reside::prelude::*;
use serde::{Deserialize, Serialize};

/// What a bootstrap has decided and must not decide again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    seed: String,
    alpha: String,
    sentinel: String,
    claim_token: String,
    alpha_control_block: Option<Ref<ControlBlock>>,
    sentinel_control_block: Option<Ref<ControlBlock>>,
}

/// The keys, in memory and on disk.
pub struct Keys {
    path: PathBuf,
    /// Account of replica 0.
    pub seed: Credentials,
    /// Account of replica 1.
    pub alpha: Credentials,
    /// Account of replica 2.
    pub sentinel: Credentials,
    /// Proves to Alpha who made the cluster.
    pub claim_token: String,
    /// Alpha's control block, once it is made.
    pub alpha_control_block: Option<Ref<ControlBlock>>,
    /// The sentinel's control block, once it is made.
    pub sentinel_control_block: Option<Ref<ControlBlock>>,
}

impl Keys {
    /// Reads the file, or makes new keys and writes it.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        let credentials = |text: &str| Ok::<_, BoxError>(Credentials::of(text.parse::<AgentSecret>()?));
        match fs::read(path) {
            Ok(text) => {
                let stored: Stored = serde_json::from_slice(&text)?;
                Ok(Self {
                    path: path.to_owned(),
                    seed: credentials(&stored.seed)?,
                    alpha: credentials(&stored.alpha)?,
                    sentinel: credentials(&stored.sentinel)?,
                    claim_token: stored.claim_token,
                    alpha_control_block: stored.alpha_control_block,
                    sentinel_control_block: stored.sentinel_control_block,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh = || Credentials::of(AgentSecret::from_seed(&SecretSeed::random(&mut OsEntropy)));
                let keys = Self {
                    path: path.to_owned(),
                    seed: fresh(),
                    alpha: fresh(),
                    sentinel: fresh(),
                    claim_token: random_token(),
                    alpha_control_block: None,
                    sentinel_control_block: None,
                };
                keys.save()?;
                Ok(keys)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the file, readable for its user alone, whole or not at all.
    pub fn save(&self) -> Result<(), BoxError> {
        let stored = Stored {
            seed: self.seed.agent_secret.expose().to_owned(),
            alpha: self.alpha.agent_secret.expose().to_owned(),
            sentinel: self.sentinel.agent_secret.expose().to_owned(),
            claim_token: self.claim_token.clone(),
            alpha_control_block: self.alpha_control_block.clone(),
            sentinel_control_block: self.sentinel_control_block.clone(),
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(&stored)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn random_token() -> String {
    // A key id is random and can be typed.
    let seed = SecretSeed::random(&mut OsEntropy);
    seed.bytes()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
