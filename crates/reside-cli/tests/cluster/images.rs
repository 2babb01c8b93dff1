//! The example images, built once by the command itself and given to every test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reside_image::pack::{self, Program};
use reside_image::{Identity, MANIFEST_LABEL, ResideManifest, Store, Tag, elf, unpack};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{GREETER, Home};

/// Gives a home the example images.
pub fn copy_examples(target: &Path) {
    static EXAMPLES: OnceLock<Home> = OnceLock::new();
    let examples = EXAMPLES.get_or_init(build);
    copy(&examples.images(), target);
}

fn build() -> Home {
    let home = Home::empty();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for name in [
        "contracts/greeter.v1",
        "replicas/greeter",
        "replicas/visitor",
        "replicas/tourist",
    ] {
        let folder: PathBuf = examples.join(name);
        // The tests' own profile, whose dependencies are there already.
        home.run(&["build", folder.to_str().unwrap(), "--profile", "dev"])
            .expect_ok();
    }
    home
}

/// Blobs never change, so the copies share them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() == "index.json" || fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The manifest of an image.
pub fn manifest(store: &Path, image: &str) -> Value {
    let store = Store::open(store).unwrap();
    store.inspect(&image.parse().unwrap()).unwrap().manifest.unwrap()
}

/// Greeter's program, and where it says "Hello, ".
fn greeter() -> &'static (Vec<u8>, Vec<usize>) {
    static GREETER_PROGRAM: OnceLock<(Vec<u8>, Vec<usize>)> = OnceLock::new();
    GREETER_PROGRAM.get_or_init(|| {
        let home = Home::with_images();
        let store = Store::open(home.images()).unwrap();
        let digest = store.resolve(&GREETER.parse().unwrap()).unwrap().digest;
        let unpacked = unpack::unpack(&store, &digest, &home.path().join("unpacked")).unwrap();
        let bytes = fs::read(unpacked.program).unwrap();
        let is_hello = |at: &usize| bytes[*at] == b'H' && bytes[*at..].starts_with(b"Hello, ");
        let places: Vec<usize> = (0..bytes.len()).filter(is_hello).collect();
        assert!(!places.is_empty());
        (bytes, places)
    })
}

/// Publishes Greeter with this manifest as a version of its own, which says other words than "Hello, " and has them in its
/// release notes. Returns `identity@digest`.
pub fn publish_greeter(store: &Path, manifest: &Value, hello: &[u8; 7]) -> String {
    let folder = TempDir::new().unwrap();
    let (bytes, places) = greeter();
    let mut bytes = bytes.clone();
    for at in places {
        bytes[*at..at + hello.len()].copy_from_slice(hello);
    }
    let program = folder.path().join("greeter");
    fs::write(&program, bytes).unwrap();
    let notes = format!("### Changed\n\n- Says {:?}.", str::from_utf8(hello).unwrap());
    let labels = BTreeMap::from([("io.reside.release-notes".to_owned(), notes)]);
    publish_program(store, manifest, &program, &[], labels)
}

/// Publishes an image with this manifest whose program is the command itself with these arguments.
pub fn publish(store: &Path, manifest: &Value, arguments: &[&str]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_reside"));
    publish_program(store, manifest, program, arguments, BTreeMap::new())
}

fn publish_program(
    store: &Path,
    manifest: &Value,
    program: &Path,
    arguments: &[&str],
    labels: BTreeMap<String, String>,
) -> String {
    let store = Store::open(store).unwrap();
    let writer = store.writer().unwrap();
    let layer = pack::write_program_layer(&writer, program, "/program").unwrap();
    let entrypoint = ["/program"]
        .iter()
        .chain(arguments)
        .map(ToString::to_string)
        .collect();
    let program = Program {
        layer,
        architecture: elf::inspect(program).unwrap(),
        entrypoint,
    };
    let manifest = ResideManifest::from_json(manifest.clone()).unwrap();
    let image = pack::write_image(&writer, &manifest, &[Tag::latest()], Some(&program), labels);
    format!("{}@{}", manifest.identity(), image.unwrap().digest)
}

/// Publishes a contract with this manifest.
pub fn publish_contract(store: &Path, manifest: &Value) {
    let store = Store::open(store).unwrap();
    let manifest = ResideManifest::from_json(manifest.clone()).unwrap();
    let writer = store.writer().unwrap();
    pack::write_image(&writer, &manifest, &[Tag::latest()], None, BTreeMap::new()).unwrap();
}

/// Publishes an image with this label, or with none.
pub fn publish_label(store: &Path, identity: &str, label: Option<&str>) {
    let store = Store::open(store).unwrap();
    let writer = store.writer().unwrap();
    let labels: BTreeMap<_, _> = label.map(|label| (MANIFEST_LABEL, label)).into_iter().collect();
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = writer
        .write_blob(reside_image::oci::CONFIG, config.to_string().as_bytes())
        .unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": reside_image::oci::MANIFEST, "config": config, "layers": [],
    });
    let identity: Identity = identity.parse().unwrap();
    writer
        .publish(&identity, &[Tag::latest()], manifest.to_string().as_bytes())
        .unwrap();
}
