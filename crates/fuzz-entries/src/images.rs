//! Images: their documents, and layers that are unpacked.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use reside_image::unpack::{Limits, unpack_with};
use reside_image::{Digest, Reference, ResideManifest, Store, Tag, oci};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Manifests, in labels and by themselves, and the documents of the OCI. Two manifests are separated by a zero byte: that of
/// a replica, and that of a contract it uses.
pub fn manifest(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    documents(first);
    if let (Ok(reside::Manifest::Replica(mut replica)), Some(Ok(reside::Manifest::Contract(contract)))) = (
        reside::Manifest::parse(first),
        second.map(reside::Manifest::parse),
    ) {
        let _ = replica.check_against([&contract]);
        replica.fill_replica_name("greeter");
        let _ = replica.check_against([&contract]);
    }
}

fn documents(data: &[u8]) {
    let _ = serde_json::from_slice::<oci::ImageManifest>(data);
    let _ = serde_json::from_slice::<oci::ImageConfig>(data);
    let _ = serde_json::from_slice::<oci::ImageIndex>(data);
    let _ = serde_json::from_slice::<oci::Layout>(data);
    if let Ok(manifest) = ResideManifest::parse(data) {
        let label = manifest.to_label().expect("it was short enough to be read");
        let again = ResideManifest::from_label(&label).expect("what is written can be read");
        assert_eq!(again.into_json(), *manifest.json());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ResideManifest::from_label(text);
        let _ = (text.parse::<Digest>().is_ok(), text.parse::<Tag>().is_ok());
        if let Ok(reference) = text.parse::<Reference>() {
            let again: Reference = reference
                .to_string()
                .parse()
                .expect("what is written can be read");
            assert_eq!(again.to_string(), reference.to_string());
        }
    }
}

const LIMITS: Limits = Limits {
    layers: 2,
    compressed: 64 * 1024,
    bytes: 64 * 1024,
    entries: 64,
};

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

/// A layer: a tar archive, whose checksums are corrected, or anything compressed.
pub fn layer(data: &[u8]) {
    let is_gzip = data.starts_with(&[0x1f, 0x8b]);
    let mut bytes = data.to_owned();
    if !is_gzip {
        correct_checksums(&mut bytes);
    }
    FOLDER.with_borrow(|folder| {
        let outside = folder.path();
        let (images, unpacked) = (outside.join("images"), outside.join("unpacked"));
        for place in [&images, &unpacked] {
            let _ = fs::remove_dir_all(place);
        }
        let store = Store::open(&images).expect("an empty store");
        let digest = publish(&store, &bytes, is_gzip);
        let _ = unpack_with(&store, &digest, &unpacked, LIMITS);
        stays_inside(outside, &unpacked);
    });
}

fn publish(store: &Store, layer: &[u8], is_gzip: bool) -> Digest {
    let possible = "a store takes any bytes";
    let writer = store.writer().expect(possible);
    let media_type = if is_gzip { oci::LAYER_GZIP } else { oci::LAYER };
    let layer_blob = writer.write_blob(media_type, layer).expect(possible);
    let diff_id = if is_gzip {
        let mut content = Vec::new();
        let decoder = flate2::read::MultiGzDecoder::new(layer);
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(decoder, 1 << 20), &mut content);
        Digest::from_hash(Sha256::digest(&content).into())
    } else {
        layer_blob.digest
    };
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let config = config.to_string();
    let config = writer.write_blob(oci::CONFIG, config.as_bytes()).expect(possible);
    let manifest =
        json!({"schemaVersion": 2, "mediaType": oci::MANIFEST, "config": config, "layers": [layer_blob]});
    let identity = "ghcr.io/exeteres/reside/replicas/greeter"
        .parse()
        .expect("an identity");
    let manifest = manifest.to_string();
    let published = writer.publish(&identity, &[Tag::latest()], manifest.as_bytes());
    published.expect(possible)
}

/// Gives every header of an archive its right checksum: nothing else gets past it.
fn correct_checksums(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + 512) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        at = at.saturating_add(512 + size.div_ceil(512).saturating_mul(512));
    }
}

/// Nothing lies beside the two folders, and no link of what was unpacked leads out of it.
fn stays_inside(outside: &Path, unpacked: &Path) {
    for entry in fs::read_dir(outside).expect("it is there") {
        let name = entry.expect("it can be read").file_name();
        assert!(name == "images" || name == "unpacked", "wrote {name:?} outside");
    }
    let Ok(real) = unpacked.canonicalize() else { return };
    for tree in fs::read_dir(&real).into_iter().flatten().flatten() {
        links_stay_inside(&tree.path(), &tree.path());
    }
}

fn links_stay_inside(tree: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("it was just listed");
        if kind.is_symlink() {
            if let Ok(target) = path.canonicalize() {
                assert!(target.starts_with(tree), "{path:?} leads to {target:?}");
            }
        } else if kind.is_dir() {
            links_stay_inside(tree, &path);
        }
    }
}
