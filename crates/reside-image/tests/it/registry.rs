//! Pushing to a real registry and pulling from it, and what another tool reads there. Skipped where the registry
//! (`docker-registry` of Debian) isn't installed, except with `CI=true`.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use reside_image::{
    Image, ImageError, ImageSource, Reference, Registry, RegistryError, RegistrySettings, ResolvedImage,
    Sources, Tag,
    registry::{Login, Step},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CONTRACT, GREETER, Home, identity, tag};

/// Longer than a registry takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// `ada` with the password `secret`, as `htpasswd -B` writes it.
const USERS: &str = "ada:$2y$05$P3QXZBOuKk3dwYlkLa3fA.cc.bA2/uiMlkYNinxhF7Wd02Zhnb.kG\n";

/// A registry in a process of its own.
struct Real {
    address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Real {
    /// Starts a registry; none if it isn't installed.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn start(with_users: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "http": {"addr": address.to_string()},
        });
        if with_users {
            fs::write(folder.path().join("users"), USERS).unwrap();
            config["auth"] = json!({"htpasswd": {"realm": "r", "path": folder.path().join("users")}});
        }
        let path = folder.path().join("config.yml");
        fs::write(&path, config.to_string()).unwrap(); // JSON is YAML
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "docker-registry is not installed"
            );
            eprintln!("skipped: docker-registry is not installed");
            return None;
        };
        let registry = Self {
            address,
            process,
            folder,
        };
        registry.wait();
        Some(registry)
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            std::thread::yield_now();
        }
    }

    /// Keeps the identities of the tests here.
    fn settings(&self) -> RegistrySettings {
        let mirror = format!("{}/mirror", self.address);
        RegistrySettings {
            mirrors: [("ghcr.io/exeteres".parse().unwrap(), mirror.parse().unwrap())].into(),
            ..RegistrySettings::default()
        }
    }

    fn client(&self) -> Registry {
        Registry::new(self.settings())
    }
}

fn resolved(name: &str, image: &Image) -> ResolvedImage {
    ResolvedImage {
        identity: identity(name),
        digest: image.digest,
    }
}

/// What a transfer did, one word each.
#[derive(Default)]
struct Steps(Mutex<Vec<&'static str>>);

impl Steps {
    fn note(&self, step: Step) {
        self.0.lock().unwrap().push(match step {
            Step::Transfer { .. } => "transfer",
            Step::Present { .. } => "present",
            Step::Mounted { .. } => "mounted",
        });
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn push(
    registry: &Registry,
    home: &Home,
    name: &str,
    image: &Image,
    tags: &[Tag],
) -> Vec<&'static str> {
    let steps = Steps::default();
    let progress = |step| steps.note(step);
    registry
        .push(&resolved(name, image), tags, &home.store, &progress)
        .await
        .unwrap();
    steps.take()
}

async fn pull(
    registry: &Registry,
    home: &Home,
    reference: &str,
) -> Result<(ResolvedImage, Vec<&'static str>), ImageError> {
    let steps = Steps::default();
    let progress = |step| steps.note(step);
    let reference: Reference = reference.parse().unwrap();
    let image = registry.pull(&reference, &home.store, &progress).await?;
    Ok((image, steps.take()))
}

#[tokio::test]
async fn only_what_changed_moves() {
    let Some(real) = Real::start(false) else { return };
    let (home, other) = (Home::new(), Home::new());
    let registry = real.client();
    let first = home.replica(b"first program", &[Tag::latest()]);
    let tags = [Tag::latest(), tag("v1")];
    assert_eq!(
        push(&registry, &home, GREETER, &first, &tags).await,
        ["transfer"; 2]
    );
    assert_eq!(
        push(&registry, &home, GREETER, &first, &tags).await,
        ["present"; 2]
    );

    let (image, steps) = pull(&registry, &other, GREETER).await.unwrap();
    assert_eq!(
        (image.digest, steps.as_slice()),
        (first.digest, &["transfer"; 2][..])
    );
    assert_eq!(other.store.image(&first.digest).unwrap(), first);
    assert_eq!(other.store.inspect(&image.into()).unwrap().tags, [Tag::latest()]);
    let (_, steps) = pull(&registry, &other, &format!("{GREETER}:v1")).await.unwrap();
    assert_eq!(steps, ["present"; 2]);

    let second = home.replica(b"second program", &[Tag::latest()]);
    push(&registry, &home, GREETER, &second, &[Tag::latest()]).await;
    let pinned = format!("{GREETER}@{}", first.digest);
    assert_eq!(
        pull(&registry, &other, &pinned).await.unwrap().0.digest,
        first.digest
    );
    assert_eq!(
        pull(&registry, &other, GREETER).await.unwrap().0.digest,
        second.digest
    );

    // A blob that is damaged here is fetched again.
    fs::write(
        other.blob_path(&second.manifest.layers[0].digest),
        vec![0; second.manifest.layers[0].size as usize],
    )
    .unwrap();
    assert_eq!(
        pull(&registry, &other, GREETER).await.unwrap().1,
        ["present", "transfer"]
    );
    assert_eq!(other.store.list().unwrap().len(), 2, "`latest` and `v1`");
}

#[tokio::test]
async fn images_that_share_a_layer_send_it_once() {
    let Some(real) = Real::start(false) else { return };
    let home = Home::new();
    let registry = real.client();
    let greeter = home.replica(b"program", &[Tag::latest()]);
    let other = "ghcr.io/exeteres/reside/replicas/other";
    let twin = home.replica_as(other, b"program", &[Tag::latest()]);
    assert_eq!(
        push(&registry, &home, GREETER, &greeter, &[Tag::latest()]).await,
        ["transfer"; 2]
    );
    assert_eq!(
        push(&registry, &home, other, &twin, &[Tag::latest()]).await,
        ["mounted", "transfer"]
    );
}

#[tokio::test]
async fn large_layers_are_sent_in_pieces() {
    let Some(real) = Real::start(false) else { return };
    let (home, other) = (Home::new(), Home::new());
    // Nothing that could be compressed, and more than two pieces.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let content: Vec<u8> = std::iter::repeat_with(&mut next).take(20 << 20).collect();
    let image = home.replica(&content, &[Tag::latest()]);
    push(&real.client(), &home, GREETER, &image, &[Tag::latest()]).await;
    pull(&real.client(), &other, GREETER).await.unwrap();
    assert!(other.store.has(&image.digest));
}

#[tokio::test]
async fn other_tools_read_what_was_pushed() {
    let Some(real) = Real::start(false) else { return };
    let home = Home::new();
    let registry = real.client();
    let replica = home.replica(b"program", &[Tag::latest()]);
    let contract = home.contract(&[Tag::latest()]);
    push(&registry, &home, GREETER, &replica, &[Tag::latest()]).await;
    assert_eq!(
        push(&registry, &home, CONTRACT, &contract, &[Tag::latest()]).await,
        ["transfer"]
    );
    assert_eq!(
        pull(&registry, &Home::new(), CONTRACT).await.unwrap().0.digest,
        contract.digest
    );
    if !crate::skopeo::is_there() {
        return;
    }
    for (name, image) in [(GREETER, &replica), (CONTRACT, &contract)] {
        let name = name.trim_start_matches("ghcr.io/exeteres");
        let address = format!("docker://{}/mirror{name}:latest", real.address);
        let output = Command::new("skopeo")
            .args(["inspect", "--tls-verify=false", &address])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["Digest"], image.digest.to_string());
        assert_eq!(
            shown["Layers"].as_array().map_or(0, Vec::len),
            image.manifest.layers.len()
        );
        assert_eq!(
            shown["Labels"]["io.reside.manifest"],
            image.labels()["io.reside.manifest"]
        );
    }
}

#[tokio::test]
async fn a_registry_with_users_asks_for_a_login() {
    let Some(real) = Real::start(true) else { return };
    let home = Home::new();
    let image = home.replica(b"program", &[Tag::latest()]);
    let address = real.address.to_string();
    let push = async |settings: RegistrySettings| {
        let registry = Registry::new(settings);
        let image = resolved(GREETER, &image);
        registry
            .push(&image, &[Tag::latest()], &home.store, &|_| {})
            .await
    };
    let with = |user: &str, password: &str| RegistrySettings {
        logins: [(address.clone(), Login::new(user, password))].into(),
        ..real.settings()
    };
    let empty = tempfile::tempdir().unwrap();
    let nobody = RegistrySettings {
        home: Some(empty.path().to_owned()),
        ..real.settings()
    };
    for settings in [nobody, with("ada", "wrong"), with("eve", "secret")] {
        let error = push(settings.clone()).await.unwrap_err();
        assert!(
            matches!(error, ImageError::Registry(RegistryError::Unauthorized { .. })),
            "{error}"
        );
        let error = Registry::new(settings).check(&address).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    }
    Registry::new(with("ada", "secret"))
        .check(&address)
        .await
        .unwrap();
    push(with("ada", "secret")).await.unwrap();

    // The same, from Docker's configuration in somebody's home.
    let docker = real.folder.path().join(".docker");
    fs::create_dir(&docker).unwrap();
    let auths = json!({"auths": {format!("http://{address}/v2/"): {"auth": "YWRhOnNlY3JldA=="}}});
    fs::write(docker.join("config.json"), auths.to_string()).unwrap();
    let settings = RegistrySettings {
        home: Some(real.folder.path().to_owned()),
        ..real.settings()
    };
    push(settings.clone()).await.unwrap();
    fs::write(docker.join("config.json"), "{\"auths\": secret}").unwrap();
    let error = push(settings).await.unwrap_err();
    assert!(
        matches!(error, ImageError::Registry(RegistryError::Login { .. })),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn what_the_store_lacks_comes_from_the_registry() {
    let Some(real) = Real::start(false) else { return };
    let (home, other) = (Home::new(), Home::new());
    let registry = real.client();
    let first = home.replica(b"first", &[Tag::latest()]);
    let second = home.replica(b"second", &[Tag::latest()]);
    push(&registry, &home, GREETER, &first, &[Tag::latest()]).await;
    let settings = serde_json::to_vec(&real.settings()).unwrap();
    fs::write(RegistrySettings::path(&other.store), settings).unwrap();
    let sources = Sources::new(other.store.clone());
    let latest: Reference = GREETER.parse().unwrap();

    let found = sources.resolve(&latest).await.unwrap();
    assert_eq!(found.digest, first.digest);
    assert_eq!(sources.image(&found).await.unwrap(), first);
    assert!(
        other.store.list().unwrap().is_empty(),
        "looking doesn't fill the store"
    );
    push(&registry, &home, GREETER, &second, &[Tag::latest()]).await;
    assert_eq!(sources.resolve(&latest).await.unwrap().digest, second.digest);
    assert_eq!(
        sources.image(&found).await.unwrap(),
        first,
        "a digest stays what it is"
    );

    // What was pulled or built here counts until it is pulled or built anew.
    pull(&registry, &other, GREETER).await.unwrap();
    push(&registry, &home, GREETER, &first, &[Tag::latest()]).await;
    assert_eq!(sources.resolve(&latest).await.unwrap().digest, second.digest);
    drop(real);
    assert_eq!(
        sources
            .image(&sources.resolve(&latest).await.unwrap())
            .await
            .unwrap(),
        second
    );
    let error = sources
        .resolve(&format!("{GREETER}:none").parse().unwrap())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("there is no image") && text.contains("cannot be reached"),
        "{text}"
    );
}
