//! Packing images, finding them again, and every way in which an image can be wrong.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use reside_image::{
    Digest, ImageError, ImageSource, Kind, MANIFEST_LABEL, ManifestError, Reference, Store, Tag, oci, pack,
};
use serde_json::json;

use crate::support::{self, CONTRACT, GREETER, Home, config_with, identity, tag};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn a_replica_and_a_contract_are_found_again() {
    let home = Home::new();
    let (replica, contract) = (
        home.replica(b"program", &[Tag::latest()]),
        home.contract(&[Tag::latest(), tag("v1")]),
    );

    let found = home
        .store
        .resolve(&reference(&format!("{GREETER}:latest")))
        .unwrap();
    assert_eq!(found.to_string(), format!("{GREETER}@{}", replica.digest));
    let again = futures::executor::block_on(async {
        let source: &dyn ImageSource = &home.store;
        source
            .image(&source.resolve(&found.clone().into()).await.unwrap())
            .await
            .unwrap()
    });
    assert_eq!(again, replica);
    assert_eq!(
        again.reside_manifest(&identity(GREETER)).unwrap(),
        support::manifest("replica", GREETER)
    );
    assert_eq!(again.config.config.entrypoint, ["/app"]);
    assert_eq!(
        (again.config.os.as_str(), again.config.architecture.as_str()),
        ("linux", "amd64")
    );

    let again = home
        .store
        .image(&home.store.resolve(&identity(CONTRACT).into()).unwrap().digest)
        .unwrap();
    assert_eq!(again, contract);
    assert!(again.manifest.layers.is_empty() && again.config.rootfs.diff_ids.is_empty());
    assert_eq!(
        again.reside_manifest(&identity(CONTRACT)).unwrap().kind(),
        Kind::Contract
    );
    assert!(again.size() < 4096, "{}", again.size());

    let reopened = Store::open(home.store.path()).unwrap();
    let listed: Vec<String> = reopened
        .list()
        .unwrap()
        .into_iter()
        .map(|image| {
            assert!(image.added.is_some() && image.problem.is_none());
            let kind = image.kind.unwrap();
            format!(
                "{}:{} {} {kind} {}",
                image.identity,
                image.tag.unwrap(),
                image.digest,
                image.size.unwrap()
            )
        })
        .collect();
    let contract_line = |tag| {
        format!(
            "{CONTRACT}:{tag} {} contract {}",
            contract.digest,
            contract.size()
        )
    };
    let replica_line = format!("{GREETER}:latest {} replica {}", replica.digest, replica.size());
    assert_eq!(
        listed,
        [contract_line("latest"), contract_line("v1"), replica_line]
    );
}

#[test]
fn the_same_input_gives_the_same_digest() {
    let (one, two) = (Home::new(), Home::new());
    let program: Vec<u8> = (0..300_000u32)
        .flat_map(|number| (number.wrapping_mul(number) >> 7).to_le_bytes())
        .collect();
    let image = one.replica(&program, &[Tag::latest()]);
    assert_eq!(image, two.replica(&program, &[tag("other")]));
    assert_eq!(one.contract(&[]).digest, two.contract(&[Tag::latest()]).digest);
    assert_ne!(image.digest, two.replica(b"other program", &[]).digest);
    // These change only when the compression changes, which is to be noticed: every image would get another digest.
    assert_eq!(
        image.digest.to_string(),
        "sha256:d727d4d76fee2b95d1b507969e911c746f8a9b67452614bc136798689fe38d41"
    );
    assert_eq!(
        one.contract(&[]).digest.to_string(),
        "sha256:f9a55bde65127d1183fb721a2421a3eb4d47e7fcef7f21f82f3abb5896b0947f"
    );
}

#[test]
fn a_pinned_image_stays_when_its_tag_moves() {
    let home = Home::new();
    let old = home.replica(b"old", &[Tag::latest(), tag("v1")]);
    let new = home.replica(b"new", &[Tag::latest()]);
    let newest = home.replica(b"newest", &[Tag::latest(), tag("v1")]);
    for image in [&old, &new, &newest] {
        let pinned = reference(&format!("{GREETER}@{}", image.digest));
        assert_eq!(home.store.resolve(&pinned).unwrap().digest, image.digest);
        assert_eq!(home.store.image(&image.digest).unwrap(), *image);
    }
    assert_eq!(
        home.store.resolve(&identity(GREETER).into()).unwrap().digest,
        newest.digest
    );
    let tags: Vec<Option<Tag>> = home
        .store
        .list()
        .unwrap()
        .into_iter()
        .map(|image| image.tag)
        .collect();
    assert_eq!(tags, [Some(Tag::latest()), Some(tag("v1")), None, None]);
    // Under another identity, the same digest is unknown.
    let foreign = reference(&format!("ghcr.io/mallory/greeter@{}", old.digest));
    assert!(matches!(
        home.store.resolve(&foreign),
        Err(ImageError::Unknown { .. })
    ));
}

#[test]
fn an_image_is_inspected() {
    let home = Home::new();
    let replica = home.replica(b"program", &[tag("v2"), tag("v1")]);
    let inspected =
        serde_json::to_value(home.store.inspect(&reference(&format!("{GREETER}:v1"))).unwrap()).unwrap();
    let layer = &replica.manifest.layers[0];
    let expected = json!({
        "identity": GREETER, "tags": ["v1", "v2"], "digest": replica.digest, "size": replica.size(), "type": "replica",
        "architecture": "amd64",
        "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}],
        "labels": replica.labels(), "manifest": support::manifest("replica", GREETER).json(),
    });
    assert_eq!(inspected, expected);
    home.replica(b"newer", &[tag("v1"), tag("v2")]);
    let pinned = reference(&format!("{GREETER}@{}", replica.digest));
    assert!(home.store.inspect(&pinned).unwrap().tags.is_empty());

    home.raw(&config_with(json!({})), &[]);
    let foreign = home.store.inspect(&identity(GREETER).into()).unwrap();
    assert_eq!((foreign.manifest, foreign.kind), (None, None));
    assert!(foreign.problem.unwrap().contains(MANIFEST_LABEL));
}

#[test]
fn an_unknown_image_is_named_with_the_tags_that_exist() {
    let home = Home::new();
    home.replica(b"program", &[tag("v2"), tag("v1")]);
    let error = home.store.resolve(&identity(GREETER).into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("there is no image {GREETER}; known tags: v1, v2")
    );
    let error = home
        .store
        .resolve(&reference("ghcr.io/nobody/nothing:v1"))
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no image ghcr.io/nobody/nothing:v1");
    let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert!(matches!(home.store.image(&digest), Err(ImageError::MissingBlob(missing)) if missing == digest));
}

#[test]
fn an_image_without_a_usable_label_says_why() {
    let home = Home::new();
    let error_of = |labels| {
        let image = home.store.image(&home.raw(&config_with(labels), &[])).unwrap();
        let problem = home
            .store
            .list()
            .unwrap()
            .into_iter()
            .find(|listed| listed.digest == image.digest)
            .unwrap()
            .problem;
        let error = image.reside_manifest(&identity(GREETER)).unwrap_err();
        assert_eq!(problem, Some(error.to_string()));
        error
    };
    let label = |json: &str| json!({MANIFEST_LABEL: STANDARD.encode(json)});
    assert_eq!(error_of(json!({})), ManifestError::NoLabel);
    assert_eq!(error_of(json!(null)), ManifestError::NoLabel);
    assert!(matches!(
        error_of(json!({MANIFEST_LABEL: "%%%"})),
        ManifestError::NotBase64(_)
    ));
    assert!(matches!(error_of(label("greeter")), ManifestError::NotJson(_)));
    assert!(matches!(
        error_of(label(r#"{"type":"service"}"#)),
        ManifestError::UnknownType(_)
    ));
    assert!(matches!(
        error_of(label(r#"{"type":"replica","identity":"greeter"}"#)),
        ManifestError::InvalidIdentity(_)
    ));
    let other = json!({"type": "replica", "identity": CONTRACT}).to_string();
    let error = error_of(label(&other));
    assert!(matches!(error, ManifestError::OtherIdentity { .. }), "{error}");
}

#[test]
fn documents_that_are_no_images_are_refused() {
    let home = Home::new();
    let good = config_with(json!({}));
    let without = |key: &str| {
        let mut config = good.clone();
        config.as_object_mut().unwrap().remove(key);
        config
    };
    let mut extra_layer = good.clone();
    extra_layer["rootfs"]["diff_ids"] = json!([format!("sha256:{}", "0".repeat(64))]);
    let mut labels = good.clone();
    labels["config"]["Labels"] = json!({"a": 7});
    for config in [
        json!([]),
        json!({}),
        without("rootfs"),
        without("os"),
        extra_layer,
        labels,
    ] {
        let error = home.store.image(&home.raw(&config, &[])).unwrap_err();
        assert!(matches!(error, ImageError::Invalid { .. }), "{config}: {error}");
    }
    let large = config_with(json!({"x": "x".repeat(5 << 20)}));
    assert!(matches!(
        home.store.image(&home.raw(&large, &[])),
        Err(ImageError::TooLarge { .. })
    ));

    let writer = home.store.writer().unwrap();
    let publish = |manifest: &str| {
        writer
            .publish(&identity(GREETER), &[], manifest.as_bytes())
            .unwrap_err()
    };
    assert!(matches!(publish("{}"), ImageError::Invalid { .. }));
    assert!(matches!(publish("hello"), ImageError::Invalid { .. }));
    assert!(matches!(
        publish(r#"{"schemaVersion":2,"manifests":[]}"#),
        ImageError::Unsupported { .. }
    ));
    let index = json!({"schemaVersion": 2, "mediaType": oci::INDEX, "manifests": []}).to_string();
    assert!(matches!(publish(&index), ImageError::Unsupported { .. }));
    let config = writer
        .write_blob(oci::CONFIG, good.to_string().as_bytes())
        .unwrap();
    let mut missing = config.clone();
    missing.digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    let error = publish(&json!({"schemaVersion": 2, "config": config, "layers": [missing]}).to_string());
    assert!(matches!(error, ImageError::MissingBlob(_)), "{error}");
    let error = publish(&json!({"schemaVersion": 1, "config": config}).to_string());
    assert!(matches!(error, ImageError::Invalid { .. }), "{error}");
}

#[test]
fn damage_is_noticed_and_writing_again_repairs_it() {
    let home = Home::new();
    let image = home.replica(b"program", &[Tag::latest()]);
    for digest in [image.digest, image.manifest.config.digest] {
        let path = home.blob_path(&digest);
        let intact = fs::read(&path).unwrap();
        let mut damaged = intact.clone();
        damaged[10] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = home.store.image(&image.digest).unwrap_err();
        assert!(
            matches!(error, ImageError::DigestMismatch { expected, .. } if expected == digest),
            "{error}"
        );
        assert!(home.store.list().unwrap()[0].problem.is_some());
        home.replica(b"program", &[Tag::latest()]);
        assert_eq!(fs::read(&path).unwrap(), intact);
    }
    fs::write(home.store.path().join("index.json"), "{").unwrap();
    assert!(matches!(home.store.list(), Err(ImageError::Invalid { .. })));
}

#[test]
fn only_a_layout_of_our_version_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(
        Store::open(directory.path()),
        Err(ImageError::Invalid { .. })
    ));
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Store::open(file.join("images")),
        Err(ImageError::Io { .. })
    ));
}

#[test]
fn images_share_a_layer() {
    let home = Home::new();
    let writer = home.store.writer().unwrap();
    let layer = pack::write_program_layer(&writer, &home.program(b"reside"), "/reside").unwrap();
    let images: Vec<_> = ["alpha", "local-sentinel", "seed"]
        .into_iter()
        .map(|name| {
            let program = pack::Program {
                layer: layer.clone(),
                architecture: reside_image::elf::Architecture::Arm64,
                entrypoint: ["/reside", "replica-main", name].map(str::to_owned).to_vec(),
            };
            let manifest = support::manifest("replica", &format!("ghcr.io/exeteres/reside/replicas/{name}"));
            let labels = [("org.opencontainers.image.version".to_owned(), "1.0".to_owned())].into();
            pack::write_image(&writer, &manifest, &[Tag::latest()], Some(&program), labels).unwrap()
        })
        .collect();
    assert!(
        images
            .iter()
            .all(|image| image.manifest.layers == images[0].manifest.layers)
    );
    assert_eq!(
        images[1].config.config.entrypoint,
        ["/reside", "replica-main", "local-sentinel"]
    );
    assert_eq!(images[1].labels()["org.opencontainers.image.version"], "1.0");
    // One layer, and a configuration and a manifest for each.
    assert_eq!(
        fs::read_dir(home.store.path().join("blobs/sha256"))
            .unwrap()
            .count(),
        1 + 2 * 3
    );
}
