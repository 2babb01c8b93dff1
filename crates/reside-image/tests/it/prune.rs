//! What is cleaned away, and what stays.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::{fs, path::PathBuf};

use reside_image::{Image, ImageError, Pruned, ResolvedImage, Tag, unpack};

use crate::support::{Entry, GREETER, Home, Layer, identity, tag};

const OWNER: &str = "co_zOwner";

fn named(image: &Image) -> ResolvedImage {
    ResolvedImage {
        identity: identity(GREETER),
        digest: image.digest,
    }
}

fn unpacked(home: &Home) -> PathBuf {
    home.directory.path().join("unpacked")
}

fn prune(home: &Home) -> Pruned {
    home.store.prune(&unpacked(home), false).unwrap()
}

/// Whether all of an image can be read.
fn is_whole(home: &Home, image: &Image) -> bool {
    let layers = &image.manifest.layers;
    home.store.image(&image.digest).is_ok() && layers.iter().all(|layer| home.store.open_blob(layer).is_ok())
}

fn retain(home: &Home, images: &[&Image]) {
    let images: BTreeSet<ResolvedImage> = images.iter().map(|image| named(image)).collect();
    home.store.retain(OWNER, &images).unwrap();
}

#[test]
fn what_has_a_tag_or_is_needed_stays() {
    let home = Home::new();
    let latest = [Tag::latest()];
    let (first, second) = (home.replica(b"1", &latest), home.replica(b"2", &latest));
    let (third, contract) = (home.replica(b"3", &latest), home.contract(&[tag("v1")]));
    retain(&home, &[&second]);

    let foretold = home.store.prune(&unpacked(&home), true).unwrap();
    assert!(is_whole(&home, &first), "nothing goes in a dry run");
    let pruned = prune(&home);
    assert_eq!(pruned, foretold);
    let digests: Vec<_> = pruned.images.iter().map(|image| image.digest).collect();
    assert_eq!(digests, [first.digest]);
    assert_eq!(pruned.blobs, 3, "manifest, configuration and layer");
    assert_eq!(pruned.bytes, first.size());
    assert!(!is_whole(&home, &first));
    for image in [&second, &third, &contract] {
        assert!(is_whole(&home, image));
    }
    assert_eq!(prune(&home), Pruned::default());

    home.store.release(OWNER).unwrap();
    assert_eq!(prune(&home).images.len(), 1);
    assert!(!is_whole(&home, &second));
    assert!(is_whole(&home, &third));
}

#[test]
fn layers_that_others_share_stay() {
    let home = Home::new();
    let layer = Layer::new(&[Entry::File("app", 0o755, b"x")]).store(&home);
    let with_one = home.raw(&layer.config(), std::slice::from_ref(&layer.descriptor));
    let mut config = layer.config();
    config["config"]["Labels"] = serde_json::json!({ "other": "label" });
    let with_both = home.raw(&config, std::slice::from_ref(&layer.descriptor));
    unpack::unpack(&home.store, &with_one, &unpacked(&home)).unwrap();
    let pruned = prune(&home);
    assert_eq!((pruned.images.len(), pruned.blobs, pruned.unpacked), (1, 2, 0));
    let program = unpack::unpack(&home.store, &with_both, &unpacked(&home))
        .unwrap()
        .program;
    assert_eq!(fs::read(program).unwrap(), b"x");
}

#[test]
fn what_was_unpacked_of_a_pruned_image_goes_with_it() {
    let home = Home::new();
    let unpack = |content: &[u8]| {
        let layer = Layer::new(&[Entry::File("app", 0o755, content)]).store(&home);
        let image = home.raw(&layer.config(), std::slice::from_ref(&layer.descriptor));
        unpack::unpack(&home.store, &image, &unpacked(&home))
            .unwrap()
            .rootfs
    };
    let (older, newer) = (unpack(b"older"), unpack(b"newer"));
    assert_eq!(prune(&home).unpacked, 1);
    assert!(!older.exists() && newer.exists());
}

#[test]
fn what_is_being_written_and_what_is_foreign_stays() {
    let home = Home::new();
    let foreign = home
        .store
        .writer()
        .unwrap()
        .write_blob("text/plain", b"foreign")
        .unwrap();
    let index = home.store.path().join("index.json");
    let mut document: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    document["manifests"] = serde_json::json!([foreign]);
    fs::write(&index, document.to_string()).unwrap();
    let writer = home.store.writer().unwrap();
    let blob = writer.write_blob("text/plain", b"about to be published").unwrap();
    let (store, into) = (home.store.clone(), unpacked(&home));
    let (done, is_done) = mpsc::channel();
    let pruning = thread::spawn(move || {
        let pruned = store.prune(&into, false).unwrap();
        done.send(()).unwrap();
        pruned
    });
    // Whoever prunes waits for the writer, who still finds its blob.
    assert!(home.store.open_blob(&blob).is_ok());
    assert!(is_done.try_recv().is_err());
    drop(writer);
    assert_eq!(pruning.join().unwrap().blobs, 1);
    assert!(home.store.open_blob(&foreign).is_ok());
}

#[test]
fn nothing_is_pruned_by_a_list_that_can_not_be_read() {
    let home = Home::new();
    let older = home.replica(b"1", &[Tag::latest()]);
    home.replica(b"2", &[Tag::latest()]);
    retain(&home, &[&older]);
    let list = home.store.path().join(format!("retained/{OWNER}.json"));
    fs::write(list, "[").unwrap();
    let refused = home.store.prune(&unpacked(&home), false);
    assert!(matches!(refused, Err(ImageError::Invalid { .. })), "{refused:?}");
    assert!(is_whole(&home, &older));
    assert!(home.store.retain("../escape", &BTreeSet::new()).is_err());
}
