//! Who we are at a registry: our own logins, then Docker's `config.json` and the credential helpers that it names.

use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{error::RegistryError, settings::RegistrySettings};

const CONFIG_BYTES_MAX: u64 = 1 << 20;
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Some helpers ask a person, or a server.
const HELPER_TIME: Duration = Duration::from_secs(30);
/// A helper says so by this name that its secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What Docker calls Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A login as it is kept: the base64 of `user:password`, as Docker does it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    auth: String,
}

impl Login {
    /// Keeps a name and a password.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            auth: STANDARD.encode(format!("{user}:{password}")),
        }
    }

    /// Whose login it is.
    pub fn user(&self) -> Option<String> {
        let decoded = STANDARD.decode(&self.auth).ok()?;
        let (user, _) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(user.to_owned())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// What is shown to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// The base64 of `user:password`.
    Basic(String),
    /// A token for which the registry's token server gives others.
    Identity(String),
}

impl Credentials {
    fn basic(user: &str, password: &str) -> Self {
        Self::Basic(STANDARD.encode(format!("{user}:{password}")))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: HashMap<String, DockerLogin>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct DockerLogin {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Finds who we are; `None`: nobody. May run a program.
pub(super) fn find(
    settings: &RegistrySettings,
    registry: &str,
) -> Result<Option<Credentials>, RegistryError> {
    if let Some(login) = settings.logins.get(registry) {
        return Ok(Some(Credentials::Basic(login.auth.clone())));
    }
    let failed = |reason: String| RegistryError::Login {
        registry: registry.to_owned(),
        reason,
    };
    let Some(path) = docker_config(settings) else {
        return Ok(None);
    };
    let config = read(&path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let Some(config) = config else { return Ok(None) };
    let key = |known: &str| is_same(known, registry);
    let helper = config
        .cred_helpers
        .iter()
        .find(|(known, _)| key(known))
        .map(|(_, helper)| helper);
    if let Some(helper) = helper.or(config.creds_store.as_ref()) {
        let answer = ask(helper, registry, settings)
            .map_err(|error| failed(format!("docker-credential-{helper}: {error}")))?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
    let login = config
        .auths
        .into_iter()
        .find(|(known, _)| key(known))
        .map(|(_, login)| login);
    Ok(login.and_then(stored))
}

fn stored(login: DockerLogin) -> Option<Credentials> {
    if let Some(token) = login.identitytoken.filter(|token| !token.is_empty()) {
        return Some(Credentials::Identity(token));
    }
    if let Some(auth) = login.auth.filter(|auth| !auth.is_empty()) {
        return Some(Credentials::Basic(auth));
    }
    Some(Credentials::basic(&login.username?, &login.password?))
}

/// Docker writes registries with and without a scheme and a path.
fn is_same(known: &str, registry: &str) -> bool {
    let is_hub = matches!(registry, "docker.io" | "index.docker.io");
    if is_hub && known == DOCKER_HUB {
        return true;
    }
    let known = known.trim_start_matches("https://").trim_start_matches("http://");
    known.split('/').next() == Some(registry)
}

fn docker_config(settings: &RegistrySettings) -> Option<PathBuf> {
    let folder = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let folder = folder
        .map(PathBuf::from)
        .or_else(|| home(settings).map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

fn home(settings: &RegistrySettings) -> Option<PathBuf> {
    settings.home.clone().or_else(env::home_dir)
}

fn read(path: &Path) -> io::Result<Option<DockerConfig>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(CONFIG_BYTES_MAX).read_to_end(&mut text)?;
    // An error of the parser could quote a secret.
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| io::Error::other(format!("line {}: not as Docker writes it", error.line())))
}

/// Asks a credential helper; `None`: it has no login.
fn ask(helper: &str, registry: &str, settings: &RegistrySettings) -> io::Result<Option<Credentials>> {
    if helper.contains('/') {
        return Err(io::Error::other("that is no name of a helper"));
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(home) = home(settings) {
        command.env("HOME", home);
    }
    let mut child = command.env("PATH", path()).spawn()?;
    let server = if registry == "docker.io" {
        DOCKER_HUB
    } else {
        registry
    };
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let stdout = child.stdout.take().expect("standard output is piped");
    let (sender, receiver) = std::sync::mpsc::channel();
    let server = server.to_owned();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        // One that doesn't read its question may still answer.
        drop(stdin.write_all(server.as_bytes()));
        drop(stdin);
        let read = stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        drop(sender.send(read.map(|_| answer)));
    });
    let answer = receiver.recv_timeout(HELPER_TIME);
    if answer.is_err() {
        drop(child.kill());
    }
    let status = child.wait()?;
    let answer = answer.map_err(|_| io::Error::other(format!("no answer within {HELPER_TIME:?}")))??;
    if !status.success() {
        let text = String::from_utf8_lossy(&answer);
        // The words are the same in all helpers.
        if text.contains("credentials not found") || text.contains("no credentials") {
            return Ok(None);
        }
        return Err(io::Error::other(status.to_string()));
    }
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .map_err(|_| io::Error::other("its answer is not as Docker's helpers give it"))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credentials::Identity(answer.secret),
        user => Credentials::basic(user, &answer.secret),
    }))
}

fn path() -> OsString {
    env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names_registries_in_several_ways() {
        for known in [
            "ghcr.io",
            "https://ghcr.io",
            "https://ghcr.io/v2/",
            "http://ghcr.io/",
        ] {
            assert!(is_same(known, "ghcr.io"), "{known}");
        }
        assert!(is_same(DOCKER_HUB, "docker.io"));
        for known in [
            "ghcr.io.example.org",
            "https://example.org/ghcr.io",
            "ghcr.io:5000",
        ] {
            assert!(!is_same(known, "ghcr.io"), "{known}");
        }
    }

    #[test]
    fn logins_are_not_shown() {
        let login = Login::new("ada", "secret");
        assert_eq!(login.user().as_deref(), Some("ada"));
        assert_eq!(format!("{login:?}"), "Login { .. }");
    }
}
