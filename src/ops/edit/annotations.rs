//! Which annotations go where.

use std::collections::BTreeSet;

use crate::build::spec::{AnnotationSpec, Level};
use crate::error::Result;
use crate::spec::{Annotations, Descriptor, Platform, annotation, media_type, text};

use super::AnnotationChange;
use super::tree::{Image, Node, Tree, is_meant};

impl AnnotationChange {
    fn spec(&self) -> &AnnotationSpec {
        match self {
            AnnotationChange::Set(spec) | AnnotationChange::Unset(spec) => spec,
        }
    }
}

/// An annotation that would go nowhere is an error, not a silence. Kind `usage`.
pub(super) fn check(tree: &Tree, changes: &[AnnotationChange]) -> Result<()> {
    let has_index = matches!(tree.node(tree.root()), Node::Index(_));
    for change in changes {
        let spec = change.spec();
        if matches!(spec.level, Level::Index | Level::IndexDescriptor) && !has_index {
            return Err(spec.place.usage("there is no index to annotate, only a manifest").hint("annotate the manifest"));
        }
        let meant: Vec<&Image> = tree.images().map(|(_, image)| image).filter(|image| is_for(spec, &image.platform)).collect();
        if meant.is_empty() {
            let platform = spec.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(spec.place.usage(format!("no image for {platform} is edited here")));
        }
        // The entry of the layout is of the layout's own kind, whatever stands behind it.
        let holders: Vec<&str> = match (spec.level, tree.node(tree.root())) {
            (Level::Manifest, _) => meant.iter().map(|image| image.manifest.descriptor.media_type.as_ref()).collect(),
            (Level::Index | Level::ManifestDescriptor, Node::Index(index)) => vec![index.document.descriptor.media_type.as_ref()],
            _ => Vec::new(),
        };
        if matches!(change, AnnotationChange::Set(_)) && holders.into_iter().any(media_type::is_docker) {
            return Err(spec.place.usage("Docker's manifests and manifest lists have no annotations"));
        }
    }
    Ok(())
}

/// The annotations of an image's manifest after the edit.
pub(super) fn of_manifest(image: &Image, changes: &[AnnotationChange]) -> Annotations {
    edited(&image.manifest.value.annotations, Level::Manifest, Some(&image.platform), changes)
}

/// What the edit does to annotations beside those of manifests, for people.
pub(super) fn around(tree: &Tree, entry: &Descriptor, changes: &[AnnotationChange]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, old: &Annotations, level, platform| {
        let line = changed(old, &edited(old, level, platform, changes)).into_iter().map(|line| format!("{what} {line}"));
        for line in line {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    };
    match tree.node(tree.root()) {
        Node::Index(index) => {
            compare("entry", &entry.annotations, Level::IndexDescriptor, None);
            compare("index", &index.document.value.annotations, Level::Index, None);
        }
        Node::Image(_) => compare("entry", &entry.annotations, Level::ManifestDescriptor, None),
    }
    for (pointer, image) in tree.pointers() {
        compare("descriptor", &pointer.annotations, Level::ManifestDescriptor, Some(&image.platform));
    }
    lines
}

/// The annotations `old` of a document or a pointer on `level` after the edit, for the image of `platform` or for the whole.
pub(super) fn edited(old: &Annotations, level: Level, platform: Option<&Platform>, changes: &[AnnotationChange]) -> Annotations {
    let meant = |change: &&AnnotationChange| {
        let spec = change.spec();
        spec.level == level && platform.is_none_or(|platform| is_for(spec, platform))
    };
    let mut new = old.clone();
    for change in changes.iter().filter(meant) {
        if let AnnotationChange::Unset(spec) = change {
            new.remove(&spec.key);
        }
    }
    for change in changes.iter().filter(meant) {
        if let AnnotationChange::Set(spec) = change {
            new.insert(spec.key.clone(), spec.value.clone());
        }
    }
    new
}

/// Takes away what annotations say of the image that this one is based on. False where they say nothing.
pub(super) fn forget_base(annotations: &mut Annotations) -> bool {
    let digest = annotations.remove(annotation::BASE_DIGEST);
    let name = annotations.remove(annotation::BASE_NAME);
    digest.is_some() || name.is_some()
}

/// What differs, for people: the keys.
pub(super) fn changed(old: &Annotations, new: &Annotations) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).map(|key| format!("annotation {}", text::shown(key))).collect()
}

fn is_for(spec: &AnnotationSpec, platform: &Platform) -> bool {
    spec.platform.as_ref().is_none_or(|only| is_meant(only, platform))
}
