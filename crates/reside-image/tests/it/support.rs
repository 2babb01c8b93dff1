//! What the tests share: stores, manifests, images made by hand.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use reside_image::{
    Digest, Identity, Image, ResideManifest, Store, Tag, Writer,
    elf::Architecture,
    oci,
    pack::{self, PROGRAM_PATH, Program},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use tempfile::TempDir;

pub const GREETER: &str = "ghcr.io/exeteres/reside/replicas/greeter";
pub const CONTRACT: &str = "ghcr.io/exeteres/reside/contracts/greeter.v1";

/// A store in a directory of its own.
pub struct Home {
    pub directory: TempDir,
    pub store: Store,
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("images")).unwrap();
        Self { directory, store }
    }

    /// Writes a file that passes for a program.
    pub fn program(&self, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join("program");
        fs::write(&path, content).unwrap();
        path
    }

    /// Packs a replica whose program has this content.
    pub fn replica(&self, content: &[u8], tags: &[Tag]) -> Image {
        self.replica_as(GREETER, content, tags)
    }

    /// The same under another name.
    pub fn replica_as(&self, identity: &str, content: &[u8], tags: &[Tag]) -> Image {
        let writer = self.store.writer().unwrap();
        let program = Program {
            layer: pack::write_program_layer(&writer, &self.program(content), PROGRAM_PATH).unwrap(),
            architecture: Architecture::Amd64,
            entrypoint: vec![PROGRAM_PATH.to_owned()],
        };
        let manifest = manifest("replica", identity);
        pack::write_image(&writer, &manifest, tags, Some(&program), BTreeMap::new()).unwrap()
    }

    /// Packs a contract.
    pub fn contract(&self, tags: &[Tag]) -> Image {
        let writer = self.store.writer().unwrap();
        pack::write_image(
            &writer,
            &manifest("contract", CONTRACT),
            tags,
            None,
            BTreeMap::new(),
        )
        .unwrap()
    }

    /// Publishes documents as they are, whatever is in them, under the greeter's identity.
    pub fn raw(&self, config: &Value, layers: &[oci::Descriptor]) -> Digest {
        let writer = self.store.writer().unwrap();
        let config = writer
            .write_blob(oci::CONFIG, config.to_string().as_bytes())
            .unwrap();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "config": config, "layers": layers});
        publish(&writer, &manifest)
    }

    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.store.path().join("blobs/sha256").join(digest.hex())
    }
}

pub fn publish(writer: &Writer, manifest: &Value) -> Digest {
    writer
        .publish(
            &identity(GREETER),
            &[Tag::latest()],
            manifest.to_string().as_bytes(),
        )
        .unwrap()
}

pub fn identity(text: &str) -> Identity {
    text.parse().unwrap()
}

pub fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub fn manifest(kind: &str, identity: &str) -> ResideManifest {
    let text = json!({"en": {"title": "Greeter", "description": "Greets."}});
    ResideManifest::from_json(json!({"type": kind, "identity": identity, "displayInfo": text})).unwrap()
}

/// The configuration of an image with these labels and no layers.
pub fn config_with(labels: Value) -> Value {
    json!({"architecture": "amd64", "os": "linux", "config": {"Labels": labels}, "rootfs": {"type": "layers", "diff_ids": []}})
}

/// An entry of a layer, written as it is, however hostile.
#[derive(Clone, Debug)]
pub enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
    Other(&'a str, EntryType),
}

/// A layer as a tar archive.
pub struct Layer {
    pub tar: Vec<u8>,
}

impl Layer {
    pub fn new(entries: &[Entry<'_>]) -> Self {
        let mut tar = Vec::new();
        for entry in entries {
            match entry {
                Entry::File(path, mode, content) => {
                    append(&mut tar, path, EntryType::Regular, *mode, "", content)
                }
                Entry::Directory(path) => append(&mut tar, path, EntryType::Directory, 0, "", b""),
                Entry::Symlink(path, to) => append(&mut tar, path, EntryType::Symlink, 0o777, to, b""),
                Entry::Hardlink(path, to) => append(&mut tar, path, EntryType::Link, 0o644, to, b""),
                Entry::Other(path, kind) => append(&mut tar, path, *kind, 0o644, "", b""),
            }
        }
        tar.extend([0; 1024]);
        Self { tar }
    }

    pub fn store(&self, home: &Home) -> StoredLayer {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.tar).unwrap();
        StoredLayer {
            diff_id: digest_of(&self.tar),
            ..StoredLayer::of(home, oci::LAYER_GZIP, &encoder.finish().unwrap())
        }
    }

    pub fn store_as(&self, home: &Home, media_type: &str) -> StoredLayer {
        StoredLayer {
            diff_id: digest_of(&self.tar),
            ..StoredLayer::of(home, media_type, &self.tar)
        }
    }
}

/// The library refuses to write what attackers write, so the names are put into the headers by hand.
fn append(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    let fields = header.as_gnu_mut().unwrap();
    if path.len() > fields.name.len() {
        append(
            tar,
            "././@LongLink",
            EntryType::GNULongName,
            0,
            "",
            &[path.as_bytes(), b"\0"].concat(),
        );
    }
    let length = path.len().min(fields.name.len());
    fields.name[..length].copy_from_slice(&path.as_bytes()[..length]);
    fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.extend(header.as_bytes());
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A layer in the store.
pub struct StoredLayer {
    pub descriptor: oci::Descriptor,
    pub diff_id: Digest,
}

impl StoredLayer {
    /// Stores bytes as they are; what they unpack to is unknown.
    pub fn of(home: &Home, media_type: &str, bytes: &[u8]) -> Self {
        let descriptor = home
            .store
            .writer()
            .unwrap()
            .write_blob(media_type, bytes)
            .unwrap();
        Self {
            diff_id: descriptor.digest,
            descriptor,
        }
    }

    /// The configuration of an image with this layer, which runs `/app`.
    pub fn config(&self) -> Value {
        let mut config = config_with(json!({}));
        config["config"]["Entrypoint"] = json!(["/app"]);
        config["rootfs"]["diff_ids"] = json!([self.diff_id]);
        config
    }
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_hash(Sha256::digest(bytes).into())
}
