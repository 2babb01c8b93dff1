//! Unpacking what we pack and what other tools pack.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
    thread,
};

use reside_image::{
    Digest, Tag, oci,
    unpack::{Limits, UnpackError, Unpacked, unpack, unpack_with},
};
use serde_json::json;

use crate::support::{Entry, Home, Layer};

#[test]
fn a_packed_program_runs() {
    let home = Home::new();
    let content = fs::read("/proc/self/exe").unwrap();
    let image = home.replica(&content, &[Tag::latest()]);
    let cache = home.directory.path().join("cache");
    let unpacked = unpack(&home.store, &image.digest, &cache).unwrap();

    assert!(unpacked.rootfs.starts_with(cache.canonicalize().unwrap()));
    assert_eq!(unpacked.program, unpacked.rootfs.join("app"));
    assert_eq!((unpacked.args.len(), unpacked.env.len()), (0, 0));
    assert_eq!(unpacked.workdir, unpacked.rootfs);
    assert!(fs::read(&unpacked.program).unwrap() == content);
    assert_eq!(
        unpacked.program.metadata().unwrap().permissions().mode() & 0o7777,
        0o755
    );

    let same = unpack(&home.store, &image.digest, &cache).unwrap();
    assert_eq!(same, unpacked);
}

#[test]
fn an_unpacked_program_can_be_started() {
    let home = Home::new();
    let image = home.replica(b"#!/bin/sh\necho started\n", &[]);
    let unpacked = unpack(&home.store, &image.digest, home.directory.path()).unwrap();
    // Another test may fork while the file is written, so the program can be busy for a moment.
    let output = loop {
        match Command::new(&unpacked.program).output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
            result => break result.unwrap(),
        }
    };
    assert_eq!(output.stdout, b"started\n");
}

#[test]
fn images_with_the_same_layer_share_its_files() {
    let home = Home::new();
    let layer = Layer::new(&[Entry::File("app", 0o755, b"program")]).store(&home);
    let configured = |args: &[&str]| {
        let mut config = layer.config();
        config["config"]["Entrypoint"] = json!(args);
        home.raw(&config, std::slice::from_ref(&layer.descriptor))
    };
    let (one, two) = (configured(&["/app", "one"]), configured(&["/app", "two"]));
    let threads: Vec<_> = [one, two, one, two]
        .into_iter()
        .map(|digest| {
            let (store, into) = (home.store.clone(), home.directory.path().join("cache"));
            thread::spawn(move || unpack(&store, &digest, &into).unwrap())
        })
        .collect();
    let unpacked: Vec<Unpacked> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(unpacked.iter().all(|image| image.program == unpacked[0].program));
    assert_eq!(
        (unpacked[0].args.as_slice(), unpacked[1].args.as_slice()),
        (&["one".to_owned()][..], &["two".to_owned()][..])
    );
}

#[test]
fn a_contract_has_nothing_to_unpack() {
    let home = Home::new();
    let image = home.contract(&[]);
    let error = unpack(&home.store, &image.digest, home.directory.path()).unwrap_err();
    assert!(
        matches!(error, UnpackError::NoLayers(digest) if digest == image.digest),
        "{error}"
    );
}

#[test]
fn layers_lie_upon_each_other() {
    let home = Home::new();
    let long = "long/".repeat(60) + "name";
    let lower = Layer::new(&[
        Entry::Directory("./"),
        Entry::Directory("bin"),
        Entry::File("bin/app", 0o4777, b"old"),
        Entry::File("etc/gone", 0o644, b"gone"),
        Entry::File("etc/kept", 0o600, b"kept"),
        Entry::File("cache/a", 0o644, b"a"),
        Entry::Symlink("usr/bin/tool", "../../bin/app"),
        Entry::Hardlink("usr/bin/hard", "etc/kept"),
        Entry::File(&long, 0o644, b"long"),
    ]);
    let upper = Layer::new(&[
        Entry::File("bin/app", 0o755, b"new"),
        Entry::File("etc/.wh.gone", 0o644, b""),
        Entry::File("cache/.wh..wh..opq", 0o644, b""),
        Entry::File("cache/b", 0o644, b"b"),
    ]);
    let (lower, upper) = (lower.store(&home), upper.store_as(&home, oci::LAYER));
    let mut config = lower.config();
    config["rootfs"]["diff_ids"]
        .as_array_mut()
        .unwrap()
        .push(json!(upper.diff_id));
    config["config"] = json!({
        "Entrypoint": ["tool"], "Cmd": ["--serve"], "Env": ["PATH=/usr/bin:/bin", "EMPTY="], "WorkingDir": "/etc", "Labels": null,
    });
    let digest = home.raw(&config, &[lower.descriptor.clone(), upper.descriptor.clone()]);
    let unpacked = unpack(&home.store, &digest, home.directory.path()).unwrap();

    let file = |path: &str| unpacked.rootfs.join(path);
    assert_eq!(unpacked.program, file("usr/bin/tool"));
    assert_eq!(unpacked.args, ["--serve"]);
    assert_eq!(
        unpacked.env,
        [
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("EMPTY".into(), "".into())
        ]
    );
    assert_eq!(unpacked.workdir, file("etc"));
    assert_eq!(fs::read(&unpacked.program).unwrap(), b"new");
    assert_eq!(fs::read(file(&long)).unwrap(), b"long");
    assert!(!file("etc/gone").exists() && !file("cache/a").exists() && file("cache/b").exists());
    assert_eq!(
        file("etc/kept").metadata().unwrap().ino(),
        file("usr/bin/hard").metadata().unwrap().ino()
    );
    assert_eq!(
        file("bin/app").metadata().unwrap().permissions().mode() & 0o7777,
        0o755
    );
}

#[test]
fn what_cannot_be_run_says_why() {
    let home = Home::new();
    let layer = Layer::new(&[
        Entry::File("app", 0o755, b"program"),
        Entry::File("data", 0o644, b"data"),
        Entry::Directory("directory"),
    ])
    .store(&home);
    let unpack = |config: serde_json::Value| {
        let mut whole = layer.config();
        whole["config"] = config;
        let digest: Digest = home.raw(&whole, std::slice::from_ref(&layer.descriptor));
        unpack(&home.store, &digest, home.directory.path())
    };
    for (config, why) in [
        (json!({}), "no entry point"),
        (json!({"Entrypoint": ["/missing"]}), "`/missing` is not a program"),
        (json!({"Entrypoint": ["/data"]}), "`/data` is not a program"),
        (
            json!({"Entrypoint": ["/directory"]}),
            "`/directory` is not a program",
        ),
        (
            json!({"Entrypoint": ["/../../../../../../../../bin/sh"]}),
            "is not a program",
        ),
        (json!({"Entrypoint": ["sh"]}), "`sh` is not a program"),
        (json!({"Entrypoint": [""]}), "`` is not a program"),
        (
            json!({"Entrypoint": ["/app"], "WorkingDir": "/none"}),
            "working directory",
        ),
        (
            json!({"Entrypoint": ["/app"], "WorkingDir": "/.."}),
            "working directory",
        ),
        (
            json!({"Entrypoint": ["/app"], "Env": ["X"]}),
            "environment variable",
        ),
    ] {
        let error = unpack(config).unwrap_err();
        assert!(
            matches!(&error, UnpackError::NotRunnable(_)) && error.to_string().contains(why),
            "{error}"
        );
    }
    assert!(unpack(json!({"Entrypoint": ["./app"]})).is_ok());
    assert!(unpack(json!({"Cmd": ["app"], "Env": ["PATH=/directory:/"]})).is_ok());
}

#[test]
fn what_is_not_whole_leaves_nothing_behind() {
    let home = Home::new();
    let image = home.replica(b"program", &[]);
    let cache = home.directory.path().join("cache");
    fs::create_dir_all(cache.join(".unpacking/left/by/a/killed/process")).unwrap();
    let blob = home.blob_path(&image.manifest.layers[0].digest);
    let intact = fs::read(&blob).unwrap();
    fs::write(&blob, &intact[..intact.len() - 1]).unwrap();
    assert!(unpack(&home.store, &image.digest, &cache).is_err());
    let names: Vec<_> = fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        names.iter().all(|name| name == ".lock" || name == ".unpacking"),
        "{names:?}"
    );
    fs::write(&blob, &intact).unwrap();
    let limits = Limits {
        bytes: 100,
        ..Limits::default()
    };
    assert!(matches!(
        unpack_with(&home.store, &image.digest, &cache, limits),
        Err(UnpackError::OverLimit { .. })
    ));
    unpack(&home.store, &image.digest, &cache).unwrap();
    assert!(!cache.join(".unpacking").exists());
}
