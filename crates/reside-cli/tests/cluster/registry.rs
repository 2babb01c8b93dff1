//! Images between machines: built here, pushed to a real registry (`docker-registry` of Debian), loaded there. Skipped where
//! it isn't installed, except with `CI=true`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{GREETER, GREETER_V1, Home, PATIENCE};
use crate::processes;

/// `ada` with the password `secret`, as `htpasswd -B` writes it.
const USERS: &str = "ada:$2y$05$ueVmdtQu6AoMz6/CbgYtdOQ/4igDXnkUQhs03bVIEOYmnDsiyys0y\n";

/// A registry in a process of its own.
pub struct Real {
    pub address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
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
    pub fn start(with_users: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = ([127, 0, 0, 1], processes::free_port()).into();
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
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "docker-registry is not installed"
            );
            eprintln!("skipped: docker-registry is not installed");
            return None;
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            std::thread::yield_now();
        }
        Some(Self {
            address,
            process,
            folder,
        })
    }

    /// Lets a home keep the images of this project here.
    pub fn mirror_for(&self, home: &Home) {
        home.ok(&format!(
            "registry mirror ghcr.io/exeteres {}/mirror",
            self.address
        ));
    }
}

#[test]
fn a_replica_is_loaded_from_a_registry() {
    let Some(real) = Real::start(false) else { return };
    let maker = Home::with_images();
    real.mirror_for(&maker);
    let pushed = maker.json(&format!("image push {GREETER}"));
    assert_eq!(pushed["tags"], json!(["latest"]));
    maker.ok(&format!("image push {GREETER_V1}"));

    let home = Home::empty();
    real.mirror_for(&home);
    home.ok("account create admin");
    home.up();
    home.ok(&format!("replica load {GREETER} --yes"));
    home.change_greeting("grant");
    home.greet("Ada").expect_ok();
    // Only what runs here was stored, and by its digest alone.
    let images = home.json("image list");
    let images: Vec<&Value> = images
        .as_array()
        .unwrap()
        .iter()
        .filter(|image| image["identity"] == GREETER)
        .collect();
    assert_eq!(images.len(), 1, "{images:?}");
    assert_eq!(
        (&images[0]["tag"], &images[0]["digest"]),
        (&Value::Null, &pushed["digest"])
    );

    let error = home.fails("replica load ghcr.io/exeteres/reside/replicas/none --yes");
    assert!(
        error.contains("there is no image") && error.contains("has no image"),
        "{error}"
    );
    // Without the registry, what is here goes on working.
    drop(real);
    home.ok("down local");
    home.up();
    home.wait_for_status(&["greeter"], "running");
    home.greet("Bob").expect_ok();
    home.ok(&format!(
        "replica load {GREETER}@{} --yes",
        pushed["digest"].as_str().unwrap()
    ));
}

#[test]
fn logins_are_checked_kept_and_forgotten() {
    let Some(real) = Real::start(true) else { return };
    let home = Home::with_images();
    real.mirror_for(&home);
    let push = format!("image push {GREETER_V1}");
    let error = home.fails(&push);
    let advice = format!("reside registry login {}", real.address);
    assert!(
        error.contains("asks for a login") && error.contains(&advice),
        "{error}"
    );

    let login = |password: &str| {
        let arguments = [
            "registry",
            "login",
            &real.address.to_string(),
            "--user",
            "ada",
            "--password-stdin",
        ];
        let mut child = home
            .command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(password.as_bytes())
            .unwrap();
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (child.wait().unwrap().code(), error)
    };
    let (code, error) = login("wrong\n");
    assert_eq!(code, Some(1));
    assert!(
        error.contains("cannot log in") && !error.contains("wrong"),
        "{error}"
    );
    assert_eq!(home.json("registry list")["logins"], json!({}));
    assert_eq!(login("secret\n").0, Some(0));
    assert_eq!(
        home.json("registry list")["logins"],
        json!({real.address.to_string(): "ada"})
    );
    let mode = fs::metadata(home.path().join("registries.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    home.ok(&push);
    home.ok(&format!("registry logout {}", real.address));
    home.fails(&push);

    // A credential helper, as Docker's configuration names it.
    let helper = real.folder.path().join("docker-credential-test");
    let answer = r#"{"ServerURL":"x","Username":"ada","Secret":"secret"}"#;
    fs::write(
        &helper,
        format!(
            "#!/bin/sh\nread server\n[ \"$server\" = {} ] && echo '{answer}'\n",
            real.address
        ),
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(real.folder.path().join("config.json"), r#"{"credsStore":"test"}"#).unwrap();
    let path = format!(
        "{}:{}",
        real.folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = home.command(&["image", "push", GREETER_V1]);
    let output = command
        .env("DOCKER_CONFIG", real.folder.path())
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn settings_that_make_no_sense() {
    let home = Home::empty();
    for (line, reason) in [
        ("registry login ghcr.io/exeteres", "expected a registry"),
        ("registry login ghcr.io --user ada", "does not run in a terminal"),
        ("registry logout ghcr.io", "no login"),
        ("registry mirror ghcr.io/exeteres", "PLACE"),
        (
            "registry mirror ghcr.io/exeteres https://example.org",
            "not the beginning of identities",
        ),
        ("registry mirror quay.io --remove", "no mirror"),
        ("registry plain-http x", "expected a registry"),
        ("image push ghcr.io/exeteres/none", "there is no image"),
        ("image pull ghcr.io/exeteres/none", "cannot be reached"),
    ] {
        let error = home.fails(line);
        assert!(error.contains(reason), "{line}: {error}");
    }
    home.ok("registry mirror ghcr.io --remove");
    home.ok("registry plain-http registry.local:5000");
    assert_eq!(
        home.json("registry list"),
        json!({"logins": {}, "mirrors": {}, "plainHttp": ["registry.local:5000"]})
    );
    home.ok("registry plain-http registry.local:5000 --remove");
    fs::write(home.path().join("registries.json"), "{").unwrap();
    assert!(home.fails("registry list").contains("registries.json"));
    assert!(home.fails("image pull ghcr.io/a/b").contains("registries.json"));
}

#[test]
fn images_of_the_system_are_exported_with_one_layer() {
    let Some(real) = Real::start(false) else { return };
    let home = Home::empty();
    real.mirror_for(&home);
    let all = home.json("image export-system --tag v1 --tag stable --push");
    let all = all.as_array().unwrap();
    assert!(all.len() >= 4, "{all:?}");
    let layers: std::collections::BTreeSet<String> = all
        .iter()
        .flat_map(|image| {
            let name = format!("{}:v1", image["identity"].as_str().unwrap());
            let image = home.json(&format!("image inspect {name}"));
            let is_contract = name.contains("/contracts/");
            let layers = image["layers"].as_array().unwrap();
            assert_eq!(layers.len(), usize::from(!is_contract), "{name}");
            let digests = layers
                .iter()
                .map(|layer| layer["digest"].as_str().unwrap().to_owned());
            digests.collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(layers.len(), 1);
    let other = Home::empty();
    real.mirror_for(&other);
    let alpha = other.json("image pull ghcr.io/exeteres/reside/replicas/alpha:stable");
    assert!(all.iter().any(|image| image["digest"] == alpha["digest"]));
}

/// Answers manifests and configurations from a store, and never finishes a layer.
fn stalling(store: &Path, image: &Value) -> SocketAddr {
    let blob = |digest: &str| {
        fs::read(
            store
                .join("blobs/sha256")
                .join(digest.trim_start_matches("sha256:")),
        )
        .unwrap()
    };
    let manifest = blob(image["digest"].as_str().unwrap());
    let json: Value = serde_json::from_slice(&manifest).unwrap();
    let config_digest = json["config"]["digest"].as_str().unwrap().to_owned();
    let (config, layer) = (
        blob(&config_digest),
        blob(json["layers"][0]["digest"].as_str().unwrap()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let (body, sent) = match () {
                () if request.contains("/manifests/") => (&manifest, manifest.len()),
                () if request.contains(&config_digest) => (&config, config.len()),
                () => (&layer, layer.len() / 2),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            drop(
                stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body[..sent])),
            );
            open.push(stream);
        }
    });
    address
}

#[test]
fn a_killed_pull_leaves_the_store_as_it_was() {
    let maker = Home::with_images();
    let image = maker.json(&format!("image inspect {GREETER}"));
    let home = Home::empty();
    let address = stalling(&maker.images(), &image);
    home.ok(&format!("registry mirror ghcr.io/exeteres {address}"));
    let mut pull = home.start(&["image", "pull", GREETER]);
    let half = image["layers"][0]["size"].as_u64().unwrap() / 2;
    home.eventually("half of the layer", || {
        let files = fs::read_dir(home.images().join(".tmp")).ok()?;
        let sizes = files
            .flatten()
            .filter_map(|file| Some(file.metadata().ok()?.len()));
        sizes.max().filter(|size| *size >= half)
    });
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert_eq!(home.json("image list"), json!([]));
    // The next writer clears away what was left, and nothing of it is taken for a layer.
    home.ok("image export-system --tag v1");
    assert_eq!(fs::read_dir(home.images().join(".tmp")).unwrap().count(), 0);
    let Some(real) = Real::start(false) else { return };
    real.mirror_for(&maker);
    maker.ok(&format!("image push {GREETER}"));
    real.mirror_for(&home);
    home.ok(&format!("image pull {GREETER}"));
    assert_eq!(
        home.json(&format!("image inspect {GREETER}"))["digest"],
        image["digest"]
    );
}

#[test]
fn a_contract_does_not_break_those_who_use_it() {
    let Some(real) = Real::start(false) else { return };
    let home = Home::empty();
    real.mirror_for(&home);
    let file = home.path().join("manifest.json");
    let file = file.to_str().unwrap();
    let build = |fields: Value, more: &str| {
        let text = json!({"en": {"title": "Doors", "description": ""}});
        let manifest = json!({
            "type": "contract", "identity": "ghcr.io/exeteres/contracts/doors.v1", "displayInfo": text,
            "methods": {"open": {"displayInfo": text, "request": {"type": "object", "properties": fields}}},
        });
        fs::write(file, manifest.to_string()).unwrap();
        format!("build --manifest {file}{more}")
    };
    let text = || json!({"type": "string"});
    let first = home.json(&build(json!({"door": text(), "key": text()}), " --push"));
    assert_eq!(
        (&first["tags"], &first["type"]),
        (&json!(["latest"]), &json!("contract"))
    );
    assert!(first["size"].as_u64().unwrap() < 4096, "{first}");
    home.ok(&build(
        json!({"door": text(), "key": text(), "times": text()}),
        "",
    ));

    let narrowed = json!({"door": {"type": "integer"}, "key": text()});
    let error = home.fails(&build(narrowed.clone(), ""));
    for part in [
        "doors.v1:latest in the local store",
        "method `open`, `request/door`: can't be string any more",
        "method `open`, `request/times`: is removed",
        "--allow-breaking",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Another machine has nothing to compare with but the registry.
    let other = Home::empty();
    real.mirror_for(&other);
    let line = build(narrowed, " --push");
    let error = other.fails(&line);
    assert!(
        error.contains("in its registry") && error.contains("request/door"),
        "{error}"
    );
    assert_eq!(
        other.json("image list"),
        json!([]),
        "nothing is built that may not be"
    );
    let said = other
        .run(&[&line.split(' ').collect::<Vec<_>>()[..], &["--allow-breaking"]].concat())
        .expect_ok();
    assert!(said.err.contains("this breaks those who use"), "{}", said.err);
}

#[test]
fn programs_that_are_built_already() {
    let home = Home::with_images();
    let contract = home.json(&format!("image inspect {GREETER_V1}"));
    assert!(contract["size"].as_u64().unwrap() < 4096, "{contract}");
    let file = home.path().join("manifest.json");
    let file = file.to_str().unwrap();
    let manifest = |permission: &str| {
        let text = json!({"en": {"title": "Guest", "description": ""}});
        json!({
            "type": "replica", "identity": "ghcr.io/exeteres/replicas/guest", "displayInfo": text,
            "info": {"name": "guest", "class": "oneshot"},
            "requirements": {"greeter": {"identity": GREETER_V1, "permissions": [
                {"name": permission, "instanceId": "en", "params": {"language": "en"}}]}},
        })
    };
    let build = format!(
        "build --binary {} --manifest {file}",
        env!("CARGO_BIN_EXE_reside")
    );
    fs::write(file, manifest("greeting:create").to_string()).unwrap();
    let built = home.json(&build);
    let inspected = home.json("image inspect ghcr.io/exeteres/replicas/guest");
    for key in ["identity", "tags", "digest", "size"] {
        assert_eq!(built[key], inspected[key], "{key}");
    }
    assert_eq!(inspected["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(inspected["manifest"]["info"]["name"], "guest");

    fs::write(file, manifest("greeting:steal").to_string()).unwrap();
    let error = home.fails(&build);
    assert!(
        error.contains("defines no permission `greeting:steal`"),
        "{error}"
    );
    let error = home.fails(&format!("build --manifest {file}"));
    assert!(error.contains("--binary FILE"), "{error}");
    assert!(home.fails("build --binary /bin/true").contains("--manifest"));
    fs::write(
        file,
        json!({"type": "replica", "identity": "ghcr.io/a/b"}).to_string(),
    )
    .unwrap();
    assert!(home.fails(&build).contains("is not valid"));
}
