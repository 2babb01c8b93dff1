//! `index.json`: which images a store holds and what they are called.
//!
//! A tagged image is an entry annotated with its name, as other tools write and read it. When the tag moves on, the
//! entry stays without the name but with our own annotation, so that the image can still be found by its digest.

use std::collections::HashSet;

use crate::{
    oci::{Descriptor, ImageIndex, REF_NAME},
    reference::{Digest, Identity, Reference, Tag},
};

/// The annotation of an entry that lost its tag.
const IDENTITY: &str = "io.reside.identity";

/// An entry of the index that is ours to read.
pub(super) struct Entry<'a> {
    pub identity: Identity,
    pub tag: Option<Tag>,
    pub descriptor: &'a Descriptor,
}

pub(super) fn entry(descriptor: &Descriptor) -> Option<Entry<'_>> {
    let (identity, tag) = match descriptor.annotations.get(REF_NAME) {
        Some(name) => match name.parse().ok()? {
            Reference {
                identity,
                tag,
                digest: None,
            } => (identity, Some(tag.unwrap_or_else(Tag::latest))),
            _ => return None,
        },
        None => (descriptor.annotations.get(IDENTITY)?.parse().ok()?, None),
    };
    Some(Entry {
        identity,
        tag,
        descriptor,
    })
}

/// Returns the entries with an identity; what other tools call differently is passed over.
pub(super) fn entries(index: &ImageIndex) -> impl Iterator<Item = Entry<'_>> {
    index.manifests.iter().filter_map(entry)
}

/// Finds what a reference stands for.
pub(super) fn find<'a>(index: &'a ImageIndex, reference: &Reference) -> Option<&'a Descriptor> {
    let latest = Tag::latest();
    let tag = reference.tag.as_ref().unwrap_or(&latest);
    let wanted = |entry: &Entry<'_>| match &reference.digest {
        Some(digest) => entry.descriptor.digest == *digest,
        None => entry.tag.as_ref() == Some(tag),
    };
    entries(index)
        .find(|entry| entry.identity == reference.identity && wanted(entry))
        .map(|entry| entry.descriptor)
}

/// Returns the tags that exist under an identity.
pub(super) fn tags(index: &ImageIndex, identity: &Identity) -> Vec<String> {
    let mut tags: Vec<String> = entries(index)
        .filter(|entry| entry.identity == *identity)
        .filter_map(|entry| entry.tag.map(String::from))
        .collect();
    tags.sort();
    tags.dedup();
    tags
}

/// Lets tags point to an image; without tags, makes it known by its digest.
pub(super) fn publish(index: &mut ImageIndex, identity: &Identity, tags: &[Tag], image: &Descriptor) {
    for descriptor in &mut index.manifests {
        let moved = entry(descriptor).is_some_and(|entry| {
            entry.identity == *identity && entry.tag.is_some_and(|tag| tags.contains(&tag))
        });
        if moved {
            descriptor.annotations.remove(REF_NAME);
            descriptor
                .annotations
                .insert(IDENTITY.to_owned(), identity.to_string());
        }
    }
    for tag in tags {
        let name = Reference::tagged(identity.clone(), tag.clone()).to_string();
        index.manifests.push(annotated(image, REF_NAME, name));
    }
    index
        .manifests
        .push(annotated(image, IDENTITY, identity.to_string()));
    drop_needless(index);
}

fn annotated(image: &Descriptor, key: &str, value: String) -> Descriptor {
    let mut descriptor = image.clone();
    descriptor.annotations.insert(key.to_owned(), value);
    descriptor
}

/// Drops entries without a tag whose image has another entry under the same identity.
fn drop_needless(index: &mut ImageIndex) {
    let mut known: HashSet<(Identity, Digest)> = entries(index)
        .filter(|entry| entry.tag.is_some())
        .map(|entry| (entry.identity, entry.descriptor.digest))
        .collect();
    index.manifests.retain(|descriptor| match entry(descriptor) {
        Some(Entry {
            identity,
            tag: None,
            descriptor,
        }) => known.insert((identity, descriptor.digest)),
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oci::MANIFEST, stream::digest_of};

    fn image(content: &str) -> Descriptor {
        Descriptor::new(MANIFEST, digest_of(content.as_bytes()), content.len() as u64)
    }

    fn shown(index: &ImageIndex) -> Vec<String> {
        let name = |entry: Entry<'_>| {
            let tag = entry.tag.map_or("-".to_owned(), String::from);
            format!("{} {tag} {}", entry.identity, entry.descriptor.size)
        };
        entries(index).map(name).collect()
    }

    #[test]
    fn a_tag_moves_and_the_old_image_stays_known() {
        let identity: Identity = "ghcr.io/a/b".parse().unwrap();
        let other: Identity = "ghcr.io/a/c".parse().unwrap();
        let (latest, stable): (Tag, Tag) = (Tag::latest(), "stable".parse().unwrap());
        let (one, two) = (image("1"), image("22"));
        let mut index = ImageIndex::default();
        index
            .manifests
            .push(Descriptor::new(MANIFEST, digest_of(b"foreign"), 7)); // stays as it is

        publish(&mut index, &identity, std::slice::from_ref(&latest), &one);
        publish(&mut index, &other, std::slice::from_ref(&latest), &one);
        assert_eq!(shown(&index), ["ghcr.io/a/b latest 1", "ghcr.io/a/c latest 1"]);
        publish(&mut index, &identity, &[latest.clone(), stable], &two);
        assert_eq!(
            shown(&index),
            [
                "ghcr.io/a/b - 1",
                "ghcr.io/a/c latest 1",
                "ghcr.io/a/b latest 2",
                "ghcr.io/a/b stable 2"
            ]
        );
        let pinned = Reference {
            identity: identity.clone(),
            tag: None,
            digest: Some(one.digest),
        };
        assert_eq!(find(&index, &pinned).map(|image| image.digest), Some(one.digest));
        assert_eq!(
            find(&index, &identity.clone().into()).map(|image| image.digest),
            Some(two.digest)
        );
        assert_eq!(tags(&index, &identity), ["latest", "stable"]);

        publish(&mut index, &identity, &[latest], &one); // back again: known by its tag alone
        assert_eq!(
            shown(&index),
            [
                "ghcr.io/a/c latest 1",
                "ghcr.io/a/b stable 2",
                "ghcr.io/a/b latest 1"
            ]
        );
        publish(&mut index, &other, &[], &two);
        assert_eq!(shown(&index).last().map(String::as_str), Some("ghcr.io/a/c - 2"));
        assert_eq!(index.manifests.len(), 5);
    }
}
