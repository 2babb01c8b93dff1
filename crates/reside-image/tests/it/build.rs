//! Building crates into images, with the real cargo.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reside_image::{
    ManifestError, Reference, Tag,
    build::{
        AskError, BuildError, BuildOptions, BuildReport, RELEASE_NOTES_LABEL, build, compile, examine,
        from_files, pack,
    },
    elf::ProgramError,
    unpack::unpack,
};
use serde_json::{Value, json};

use crate::support::{Home, identity, tag};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/greeter");
const IDENTITY: &str = "ghcr.io/exeteres/reside/replicas/greeter-fixture";

impl Home {
    /// Copies the fixture to a place outside of any workspace.
    fn fixture(&self, name: &str) -> PathBuf {
        let to = self.directory.path().join(name);
        fs::create_dir_all(to.join("src")).unwrap();
        for file in ["Cargo.toml", "manifest.json", "src/main.rs"] {
            fs::copy(Path::new(FIXTURE).join(file), to.join(file)).unwrap();
        }
        to
    }

    /// A crate whose `main` has this body.
    fn crate_with_main(&self, body: &str) -> PathBuf {
        let directory = self.fixture("crate");
        fs::write(directory.join("src/main.rs"), format!("fn main() {{ {body} }}")).unwrap();
        directory
    }
}

/// Builds quickly: what is built doesn't matter here.
fn options(directory: &Path) -> BuildOptions {
    BuildOptions {
        profile: "dev".to_owned(),
        ..BuildOptions::new(directory)
    }
}

fn build_dev(home: &Home, directory: &Path) -> Result<BuildReport, BuildError> {
    build(&options(directory), &home.store)
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn a_crate_becomes_a_replica_that_runs() {
    let home = Home::new();
    let directory = home.fixture("greeter");
    let mut options = BuildOptions::new(&directory); // in the release profile
    options.tags.push(tag("v1"));
    let report = build(&options, &home.store).unwrap();
    assert_eq!(report.identity, identity(IDENTITY));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&json["tags"], &json["type"]),
        (&json!(["latest", "v1"]), &json!("replica"))
    );
    assert_eq!(json["digest"], report.digest.to_string());

    let found = home
        .store
        .resolve(&Reference::tagged(identity(IDENTITY), tag("v1")))
        .unwrap();
    assert_eq!(found.digest, report.digest);
    let image = home.store.image(&found.digest).unwrap();
    assert_eq!((image.size(), image.manifest.layers.len()), (report.size, 1));
    let manifest: Value = serde_json::from_str(include_str!("../fixtures/greeter/manifest.json")).unwrap();
    assert_eq!(
        image.reside_manifest(&identity(IDENTITY)).unwrap().json(),
        &manifest
    );

    let unpacked = unpack(&home.store, &report.digest, &home.directory.path().join("cache")).unwrap();
    examine(&unpacked.program).unwrap(); // static, and it answers
    assert_eq!(build(&options, &home.store).unwrap(), report);
}

#[test]
fn a_crate_becomes_a_contract_without_layers() {
    let home = Home::new();
    let directory = home.fixture("contract");
    edit(&directory.join("manifest.json"), "\"replica\"", "\"contract\"");
    let report = build_dev(&home, &directory).unwrap();
    let image = home.store.image(&report.digest).unwrap();
    assert!(image.manifest.layers.is_empty() && report.size < 4096);
    // The program is made anew with other debug information; the image stays.
    edit(&directory.join("src/main.rs"), "Hello", "Good morning");
    assert_eq!(build_dev(&home, &directory).unwrap().digest, report.digest);
}

#[test]
fn the_members_of_a_workspace_are_built_by_their_directory() {
    let home = Home::new();
    let root = home.directory.path().join("workspace");
    fs::create_dir_all(root.join(".cargo")).unwrap();
    let (one, two) = (home.fixture("workspace/one.v1"), home.fixture("workspace/two"));
    for (directory, name) in [(&one, "one-v1"), (&two, "two")] {
        edit(&directory.join("Cargo.toml"), "[workspace]", "");
        edit(&directory.join("Cargo.toml"), "greeter-fixture", name);
        edit(
            &directory.join("manifest.json"),
            "replicas/greeter-fixture",
            &format!("replicas/{name}"),
        );
    }
    fs::write(
        root.join("Cargo.toml"),
        "[workspace]\nresolver = \"3\"\nmembers = [\"one.v1\", \"two\"]\n",
    )
    .unwrap();
    // As in this project: the configuration of the workspace asks for static linking, and is left to it.
    let config =
        "[target.'cfg(target_os = \"linux\")']\nrustflags = [\"-C\", \"target-feature=+crt-static\"]\n";
    fs::write(
        root.join(".cargo/config.toml"),
        format!("[build]\ntarget = \"host-tuple\"\n{config}"),
    )
    .unwrap();

    let built = compile(&options(&one)).unwrap();
    assert_eq!(
        built.manifest.identity().repository(),
        "exeteres/reside/replicas/one-v1"
    );
    let path = &built.program.as_ref().unwrap().path;
    let target = root.canonicalize().unwrap().join("target");
    assert!(path.starts_with(target), "{}", path.display());
    pack(&built, &[Tag::latest()], &home.store).unwrap();
    let report = build_dev(&home, &two).unwrap();
    assert_eq!(report.identity.repository(), "exeteres/reside/replicas/two");

    // A configuration that mentions static linking but means something else is overruled.
    fs::write(root.join(".cargo/config.toml"), "# rustflags: +crt-static\n").unwrap();
    assert_eq!(build_dev(&home, &two).unwrap().identity, report.identity);

    let error = build_dev(&home, &root).unwrap_err();
    assert!(matches!(error, BuildError::NoPackage(_)), "{error}");
}

#[test]
fn what_is_no_crate_with_one_program_is_refused() {
    let home = Home::new();
    let error = build_dev(&home, home.directory.path()).unwrap_err();
    assert!(matches!(error, BuildError::NoCrate(_)), "{error}");
    assert!(matches!(
        build_dev(&home, Path::new("/nonexistent")),
        Err(BuildError::NoCrate(_))
    ));

    let directory = home.fixture("crate");
    fs::write(directory.join("src/lib.rs"), "").unwrap();
    fs::rename(directory.join("src/main.rs"), directory.join("src/kept")).unwrap();
    let error = build_dev(&home, &directory).unwrap_err();
    assert!(
        matches!(&error, BuildError::NoProgram(name) if name == "greeter-fixture"),
        "{error}"
    );

    fs::rename(directory.join("src/kept"), directory.join("src/main.rs")).unwrap();
    fs::create_dir(directory.join("src/bin")).unwrap();
    fs::write(directory.join("src/bin/other.rs"), "fn main() {}").unwrap();
    let error = build_dev(&home, &directory).unwrap_err();
    assert!(
        matches!(&error, BuildError::SeveralPrograms { programs, .. } if programs.len() == 2),
        "{error}"
    );
    edit(
        &directory.join("Cargo.toml"),
        "publish = false",
        "publish = false\ndefault-run = \"greeter-fixture\"",
    );
    build_dev(&home, &directory).unwrap();

    edit(&directory.join("src/main.rs"), "fn main()", "fn main(");
    assert!(matches!(
        build_dev(&home, &directory),
        Err(BuildError::CargoFailed(_))
    ));
    fs::write(directory.join("Cargo.toml"), "[package").unwrap();
    assert!(matches!(
        build_dev(&home, &directory),
        Err(BuildError::Metadata(_))
    ));
    assert_eq!(home.store.list().unwrap().len(), 1);
}

#[test]
fn a_program_that_does_not_say_what_it_is_is_refused() {
    let home = Home::new();
    let refused = |body: &str| build_dev(&home, &home.crate_with_main(body)).unwrap_err();
    let manifest_error = |body: &str| match refused(body) {
        BuildError::Manifest { source, .. } => source,
        other => panic!("{body}: {other}"),
    };
    assert!(matches!(
        manifest_error(r#"println!("Hello");"#),
        ManifestError::NotJson(_)
    ));
    assert!(matches!(manifest_error(""), ManifestError::NotJson(_)));
    assert_eq!(manifest_error(r#"println!("[]");"#), ManifestError::NotAnObject);
    assert!(matches!(
        manifest_error(r#"println!("{{}}");"#),
        ManifestError::UnknownType(_)
    ));
    let nameless = r#"println!("{{\"type\":\"replica\",\"identity\":\"x\"}}");"#;
    assert!(matches!(
        manifest_error(nameless),
        ManifestError::InvalidIdentity(_)
    ));

    let failed = refused(r#"eprintln!("no manifest here"); std::process::exit(3);"#);
    assert!(
        failed.to_string().ends_with("exit status: 3: no manifest here"),
        "{failed}"
    );
    let endless = refused(r#"loop { print!("{}", "x".repeat(1000)); }"#);
    assert!(
        matches!(
            endless,
            BuildError::Ask {
                reason: AskError::TooLong,
                ..
            }
        ),
        "{endless}"
    );
    assert!(home.store.list().unwrap().is_empty());
}

#[test]
fn a_program_that_never_ends_is_ended() {
    let home = Home::new();
    let directory = home.crate_with_main("loop { std::thread::park() }");
    // Built by hand, since only the question is of interest here.
    let error =
        reside_image::build::examine_within(&built(&directory), Duration::from_millis(50)).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Ask {
                reason: AskError::Timeout(_),
                ..
            }
        ),
        "{error}"
    );
}

fn built(directory: &Path) -> PathBuf {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let program = directory.join("program");
    let status = std::process::Command::new(rustc)
        .args(["-C", "target-feature=+crt-static", "--edition", "2024", "-o"])
        .arg(&program)
        .arg(directory.join("src/main.rs"))
        .status();
    assert!(status.unwrap().success());
    program
}

#[test]
fn only_static_programs_are_packed() {
    let home = Home::new();
    let script = home.program(b"#!/bin/sh\necho '{}'\n");
    let error = examine(&script).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Program {
                source: ProgramError::NotElf,
                ..
            }
        ),
        "{error}"
    );
    let error = examine(Path::new("/bin/sh")).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Program {
                source: ProgramError::Dynamic,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("crt-static"), "{error}");
    assert!(matches!(
        examine(Path::new("/nonexistent")),
        Err(BuildError::Program {
            source: ProgramError::Io(_),
            ..
        })
    ));
}

/// Two folders, one of them cleaned in between. The program names its own folder and a generated file, as panics do.
#[test]
fn the_same_crate_in_two_places_gives_the_same_image() {
    let home = Home::new();
    let places = ["one", "a/deeper/place"].map(|place| home.fixture(place));
    for place in &places {
        edit(
            &place.join("src/main.rs"),
            "_ => ",
            "Some(other) => panic!(\"{other}: {}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/made\"))),\n        _ => ",
        );
        let script = "fn main() { let out = std::env::var(\"OUT_DIR\").unwrap(); \
            std::fs::write(format!(\"{out}/made\"), \"made\").unwrap(); }";
        fs::write(place.join("build.rs"), script).unwrap();
    }
    let build = |place: &Path| build(&BuildOptions::new(place), &home.store).unwrap().digest;
    let digest = build(&places[0]);
    assert_eq!(build(&places[1]), digest);
    fs::remove_dir_all(places[0].join("target")).unwrap();
    assert_eq!(build(&places[0]), digest);
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let status = std::process::Command::new("git")
        .args(identity)
        .args(arguments)
        .current_dir(directory)
        .env("GIT_COMMITTER_DATE", "2026-01-31T12:00:00+00:00")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn labels_say_where_an_image_comes_from() {
    let home = Home::new();
    let directory = home.fixture("greeter");
    let about = "publish = false\ndescription = \"Greets\"\nlicense = \"MIT\"\nrepository = \"https://example.org/r\"";
    edit(&directory.join("Cargo.toml"), "publish = false", about);
    fs::write(
        directory.join("CHANGELOG.md"),
        "# Changelog\n\n## [0.1.0]\n\n- Greets.\n",
    )
    .unwrap();
    fs::write(directory.join(".gitignore"), "/target\n").unwrap();
    git(&directory, &["init", "-q"]);
    git(&directory, &["add", "."]);
    git(&directory, &["commit", "-q", "-m", "first"]);

    let labels = |directory: &Path| compile(&options(directory)).unwrap().labels;
    compile(&options(&directory)).unwrap(); // makes Cargo.lock
    git(&directory, &["add", "."]);
    git(&directory, &["commit", "-q", "--amend", "--no-edit"]);
    let known = labels(&directory);
    let label = |name: &str| {
        known
            .get(&format!("org.opencontainers.image.{name}"))
            .map(String::as_str)
    };
    assert_eq!(label("title"), Some("greeter-fixture"));
    assert_eq!(label("version"), Some("0.1.0"));
    assert_eq!(label("description"), Some("Greets"));
    assert_eq!(label("licenses"), Some("MIT"));
    assert_eq!(label("source"), Some("https://example.org/r"));
    assert_eq!(label("created"), Some("2026-01-31T12:00:00+00:00"));
    assert_eq!(label("revision").map(str::len), Some(40));
    assert_eq!(label("url"), None);
    assert_eq!(known[RELEASE_NOTES_LABEL], "- Greets.");

    edit(&directory.join("src/main.rs"), "Hello", "Good morning");
    let changed = labels(&directory);
    assert!(
        !changed.contains_key("org.opencontainers.image.revision"),
        "{changed:?}"
    );
}

#[test]
fn files_and_features_of_the_crate_are_built_in() {
    let home = Home::new();
    let directory = home.fixture("greeter");
    fs::create_dir_all(directory.join("web/deep")).unwrap();
    fs::write(directory.join("web/deep/page.html"), "<p>").unwrap();
    fs::write(directory.join("words.txt"), "words").unwrap();
    let manifest = directory.join("Cargo.toml");
    let original = fs::read_to_string(&manifest).unwrap();
    let with_files = |files: &str| {
        let more = format!("\n[features]\nloud = []\n[package.metadata.reside]\nfiles = {files}\n");
        fs::write(&manifest, original.clone() + &more).unwrap();
    };
    with_files(r#"{ "/etc/words.txt" = "words.txt", "/web" = "web" }"#);
    edit(
        &directory.join("src/main.rs"),
        "\"Hello\"",
        "\"{}\", cfg!(feature = \"loud\")",
    );
    let loud = BuildOptions {
        features: vec!["loud".to_owned()],
        ..options(&directory)
    };
    let report = build(&loud, &home.store).unwrap();
    assert_eq!(home.store.image(&report.digest).unwrap().manifest.layers.len(), 1);
    let unpacked = unpack(&home.store, &report.digest, &home.directory.path().join("cache")).unwrap();
    let read = |path: &str| fs::read_to_string(unpacked.rootfs.join(path)).unwrap();
    assert_eq!(
        (read("etc/words.txt"), read("web/deep/page.html")),
        ("words".into(), "<p>".into())
    );
    let output = std::process::Command::new(&unpacked.program).output().unwrap();
    assert_eq!(output.stdout, b"true\n");
    assert_eq!(build(&loud, &home.store).unwrap().digest, report.digest);

    std::os::unix::fs::symlink("/etc/passwd", directory.join("web/link")).unwrap();
    for (files, reason) in [
        (r#"{ "/web" = "web" }"#, "neither a file nor a folder"),
        (r#"{ "/none" = "none" }"#, "`none`: No such file"),
        (r#"{ "words" = "words.txt" }"#, "not an absolute path"),
        (r#"{ "/a/../b" = "words.txt" }"#, "not an absolute path"),
        (r#"{ "/app" = "words.txt" }"#, "where the program lies"),
        (
            r#"{ "/a/b" = "words.txt", "/a/b/" = "words.txt" }"#,
            "named twice",
        ),
        ("7", "invalid type"),
    ] {
        with_files(files);
        let error = build_dev(&home, &directory).unwrap_err();
        assert!(matches!(error, BuildError::Settings { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_program_of_any_language_is_packed_with_a_manifest_from_a_file() {
    let home = Home::new();
    let program = home.program(&fs::read("/proc/self/exe").unwrap());
    let manifest = home.directory.path().join("manifest.json");
    let kind = |kind: &str| {
        let identity = format!("ghcr.io/owner/{kind}");
        fs::write(&manifest, json!({"type": kind, "identity": identity}).to_string()).unwrap();
    };
    kind("replica");
    let built = from_files(&manifest, Some(&program)).unwrap();
    let image = pack(&built, &[Tag::latest()], &home.store).unwrap();
    assert_eq!(image.manifest.layers.len(), 1);
    assert_eq!(pack(&built, &[], &home.store).unwrap().digest, image.digest);
    assert!(matches!(
        from_files(&manifest, None),
        Err(BuildError::NoBinary(_))
    ));
    let error = from_files(&manifest, Some(Path::new("/bin/sh"))).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Program {
                source: ProgramError::Dynamic,
                ..
            }
        ),
        "{error}"
    );

    kind("contract");
    let image = pack(&from_files(&manifest, None).unwrap(), &[], &home.store).unwrap();
    assert!(image.manifest.layers.is_empty());

    kind("cat");
    assert!(matches!(
        from_files(&manifest, None),
        Err(BuildError::ManifestFile { .. })
    ));
    fs::write(&manifest, " ".repeat(300_000)).unwrap();
    assert!(matches!(
        from_files(&manifest, None),
        Err(BuildError::ManifestFile {
            source: ManifestError::TooLarge,
            ..
        })
    ));
    assert!(matches!(
        from_files(Path::new("/nonexistent"), None),
        Err(BuildError::Pack(_))
    ));
}
