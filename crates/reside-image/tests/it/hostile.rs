//! Layers that want to do harm.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use reside_image::{
    ImageError, oci,
    unpack::{Limits, UnpackError, unpack, unpack_with},
};
use serde_json::json;

use crate::support::{Entry, Home, Layer, StoredLayer};

/// Unpacks one layer into a directory beside a file that must stay as it is.
fn unpack_layer(home: &Home, layer: &StoredLayer, limits: Limits) -> Result<(), UnpackError> {
    let digest = home.raw(&layer.config(), std::slice::from_ref(&layer.descriptor));
    let canary = home.directory.path().join("canary");
    fs::write(&canary, "alive").unwrap();
    let into = home.directory.path().join("cache");
    let result = unpack_with(&home.store, &digest, &into, limits);
    assert_eq!(fs::read(&canary).unwrap(), b"alive");
    let kept = fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(
        kept.filter(|name| name != ".lock").count(),
        usize::from(result.is_ok())
    );
    assert!(!Path::new("/reside-was-here").exists());
    result.map(drop)
}

#[test]
fn entries_that_lead_out_are_refused() {
    let app = Entry::File("app", 0o755, b"program");
    let cases: &[(&str, &[Entry])] = &[
        ("upwards", &[Entry::File("../canary", 0o644, b"dead")]),
        ("upwards", &[Entry::File("a/../../../canary", 0o644, b"dead")]),
        ("upwards", &[Entry::Directory("..")]),
        ("absolute", &[Entry::File("/reside-was-here", 0o644, b"dead")]),
        ("absolute", &[Entry::Directory("/")]),
        ("no name", &[Entry::File("./", 0o644, b"dead")]),
        (
            "absolute path",
            &[
                Entry::Symlink("link", "/"),
                Entry::File("link/reside-was-here", 0o644, b"dead"),
            ],
        ),
        ("outside", &[Entry::Symlink("link", "../..")]),
        ("outside", &[Entry::Symlink("a/link", "../../canary")]),
        (
            "outside",
            &[
                Entry::Symlink("a/b/up", "../.."),
                Entry::Symlink("link", "a/b/up/../canary"),
            ],
        ),
        (
            "through a link",
            &[
                Entry::Symlink("link", "a"),
                Entry::File("link/file", 0o644, b"dead"),
            ],
        ),
        (
            "through a link",
            &[Entry::Symlink("link", "."), Entry::Directory("link/directory")],
        ),
        (
            "through a link",
            &[
                Entry::File("file", 0o644, b""),
                Entry::File("file/file", 0o644, b"dead"),
            ],
        ),
        ("not a file", &[Entry::Hardlink("link", "missing")]),
        (
            "not a file",
            &[
                Entry::Directory("directory"),
                Entry::Hardlink("link", "directory"),
            ],
        ),
        (
            "not a file",
            &[Entry::Symlink("soft", "app"), Entry::Hardlink("hard", "soft")],
        ),
        ("upwards", &[Entry::Hardlink("link", "../../canary")]),
        ("absolute", &[Entry::Hardlink("link", "/etc/passwd")]),
        ("upwards", &[Entry::File(".wh...", 0o644, b"")]),
        ("no name", &[Entry::File(".wh.", 0o644, b"")]),
        ("device", &[Entry::Other("null", tar::EntryType::Char)]),
        ("device", &[Entry::Other("disk", tar::EntryType::Block)]),
        ("pipe", &[Entry::Other("pipe", tar::EntryType::Fifo)]),
        ("neither", &[Entry::Other("sparse", tar::EntryType::GNUSparse)]),
    ];
    for (why, entries) in cases {
        let home = Home::new();
        let layer = Layer::new(&[std::slice::from_ref(&app), *entries].concat()).store(&home);
        let error = unpack_layer(&home, &layer, Limits::default()).unwrap_err();
        assert!(
            matches!(&error, UnpackError::UnsafeEntry { reason, .. } if reason.contains(why)),
            "{entries:?} should be refused ({why}): {error}"
        );
    }
}

#[test]
fn links_inside_are_kept_and_replaced_without_following_them() {
    let home = Home::new();
    let layer = Layer::new(&[
        Entry::File("app", 0o755, b"program"),
        Entry::File("target", 0o644, b"target"),
        Entry::Symlink("link", "target"),
        Entry::File("link", 0o644, b"file in place of the link"),
        Entry::Symlink("a/b/up", "../../target"),
        Entry::Symlink("app2", "app"),
        Entry::Directory("app2"),
    ])
    .store(&home);
    unpack_layer(&home, &layer, Limits::default()).unwrap();
    let digest = home.raw(&layer.config(), std::slice::from_ref(&layer.descriptor));
    let root = unpack(&home.store, &digest, &home.directory.path().join("cache"))
        .unwrap()
        .rootfs;
    assert_eq!(fs::read(root.join("target")).unwrap(), b"target");
    assert_eq!(fs::read(root.join("a/b/up")).unwrap(), b"target");
    assert_eq!(fs::read(root.join("link")).unwrap(), b"file in place of the link");
    assert!(root.join("app").is_file() && root.join("app2").symlink_metadata().unwrap().is_dir());
}

/// A layer of a compressed tar stream.
fn gzip(home: &Home, tar: &mut impl Read) -> StoredLayer {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    io::copy(tar, &mut encoder).unwrap();
    StoredLayer::of(home, oci::LAYER_GZIP, &encoder.finish().unwrap())
}

fn header(path: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

#[test]
fn bombs_are_refused() {
    let home = Home::new();
    let limits = Limits {
        layers: 1,
        compressed: 1 << 20,
        bytes: 10_000_000,
        entries: 100,
    };
    let refused = |layer: &StoredLayer| unpack_layer(&home, layer, limits).unwrap_err();

    let size = 50_000_000;
    let file = header("file", tar::EntryType::Regular, size);
    let error = refused(&gzip(&home, &mut file.as_bytes().chain(io::repeat(0).take(size))));
    assert!(
        matches!(
            error,
            UnpackError::OverLimit {
                what: "bytes",
                limit: 10_000_000
            }
        ),
        "{error}"
    );

    // After the end of the archive.
    let error = refused(&gzip(&home, &mut io::repeat(0).take(size)));
    assert!(
        matches!(error, UnpackError::OverLimit { what: "bytes", .. }),
        "{error}"
    );

    // A name that would fill the memory, and one that pretends to.
    for (size, content) in [(8_000_000, 8_000_000), (u32::MAX.into(), 512)] {
        for kind in [
            tar::EntryType::GNULongName,
            tar::EntryType::GNULongLink,
            tar::EntryType::XHeader,
        ] {
            let name = header("name", kind, size);
            let error = refused(&gzip(
                &home,
                &mut name.as_bytes().chain(io::repeat(b'a').take(content)),
            ));
            assert!(matches!(error, UnpackError::BadLayer { .. }), "{error}");
        }
    }

    let names: Vec<String> = (0..101).map(|number| format!("file{number}")).collect();
    let many: Vec<Entry> = names.iter().map(|name| Entry::File(name, 0o644, b"")).collect();
    let error = refused(&Layer::new(&many).store(&home));
    assert!(
        matches!(
            error,
            UnpackError::OverLimit {
                what: "entries",
                limit: 100
            }
        ),
        "{error}"
    );

    let mut random = vec![0; 2 << 20];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut random)
        .unwrap();
    let error = refused(&gzip(&home, &mut random.as_slice()));
    assert!(
        matches!(error, UnpackError::Image(ImageError::TooLarge { .. })),
        "{error}"
    );

    let layer = Layer::new(&[Entry::File("app", 0o755, b"")]).store(&home);
    let mut config = layer.config();
    config["rootfs"]["diff_ids"] = json!([layer.diff_id, layer.diff_id]);
    let digest = home.raw(&config, &[layer.descriptor.clone(), layer.descriptor.clone()]);
    let error = unpack_with(&home.store, &digest, home.directory.path(), limits).unwrap_err();
    assert!(
        matches!(
            error,
            UnpackError::OverLimit {
                what: "layers",
                limit: 1
            }
        ),
        "{error}"
    );
}

#[test]
fn damaged_layers_are_refused() {
    let home = Home::new();
    let refused = |layer: &StoredLayer| unpack_layer(&home, layer, Limits::default()).unwrap_err();
    let good = Layer::new(&[Entry::File("app", 0o755, b"program")]);
    for cut in [100, 512, 515] {
        let error = refused(&gzip(&home, &mut &good.tar[..cut]));
        assert!(matches!(error, UnpackError::BadLayer { .. }), "{cut}: {error}");
    }
    let mut checksum = good.tar.clone();
    checksum[0] ^= 1;
    assert!(matches!(
        refused(&gzip(&home, &mut checksum.as_slice())),
        UnpackError::BadLayer { .. }
    ));
    let mut garbage = GzEncoder::new(Vec::new(), Compression::fast());
    garbage.write_all(&good.tar).unwrap();
    let mut garbage = garbage.finish().unwrap();
    garbage.extend(b"garbage after the end");
    assert!(matches!(
        refused(&StoredLayer::of(&home, oci::LAYER_GZIP, &garbage)),
        UnpackError::BadLayer { .. }
    ));
    assert!(matches!(
        refused(&StoredLayer::of(&home, oci::LAYER_GZIP, b"no gzip")),
        UnpackError::BadLayer { .. }
    ));
    let error = refused(&StoredLayer::of(
        &home,
        "application/vnd.oci.image.layer.v1.tar+zstd",
        b"zstd",
    ));
    assert!(
        matches!(error, UnpackError::Image(ImageError::Unsupported { .. })),
        "{error}"
    );

    let mut other_content = good.store(&home);
    other_content.diff_id = other_content.descriptor.digest;
    assert!(matches!(refused(&other_content), UnpackError::BadLayer { .. }));

    let stored = good.store(&home);
    let path = home.blob_path(&stored.descriptor.digest);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    let digest = home.raw(&stored.config(), std::slice::from_ref(&stored.descriptor));
    fs::write(&path, &bytes).unwrap();
    let error = unpack(&home.store, &digest, home.directory.path()).unwrap_err();
    assert!(
        matches!(error, UnpackError::Image(ImageError::DigestMismatch { .. })),
        "{error}"
    );
    fs::write(&path, &bytes[1..]).unwrap();
    let error = unpack(&home.store, &digest, home.directory.path()).unwrap_err();
    assert!(
        matches!(error, UnpackError::Image(ImageError::SizeMismatch { .. })),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    let error = unpack(&home.store, &digest, home.directory.path()).unwrap_err();
    assert!(
        matches!(error, UnpackError::Image(ImageError::MissingBlob(_))),
        "{error}"
    );
}
