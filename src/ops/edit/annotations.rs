//! Which annotations go where.

use std::collections::BTreeSet;

use crate::build::spec::{AnnotationSpec, Level};
use crate::error::Result;
use crate::spec::{Annotations, Descriptor, Digest, Family, Platform, annotation, text};

use super::changes::AnnotationChange;
use super::tree::{Image, Node, Tree, is_meant};

impl AnnotationChange {
    fn spec(&self) -> &AnnotationSpec {
        match self {
            AnnotationChange::Set(spec) | AnnotationChange::Unset(spec) => spec,
        }
    }
}

/// An annotation that would go nowhere is an error, not a silence. `media_types` is the family that documents are to be of. Kind `usage`.
pub(super) fn check(tree: &Tree, changes: &[AnnotationChange], media_types: Option<Family>) -> Result<()> {
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
        let holders: Vec<&Descriptor> = match (spec.level, tree.node(tree.root())) {
            (Level::Manifest, _) => meant.iter().map(|image| &image.manifest.descriptor).collect(),
            (Level::Index | Level::ManifestDescriptor, Node::Index(index)) => vec![&index.document.descriptor],
            _ => Vec::new(),
        };
        let family = |holder: &Descriptor| media_types.unwrap_or(Family::of(&holder.media_type));
        if matches!(change, AnnotationChange::Set(_)) && holders.into_iter().any(|holder| family(holder) == Family::Docker) {
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

/// What is to be noted of the image that this one is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BaseNote {
    /// Whatever is noted.
    AsItWas,
    /// Nothing.
    Gone,
    /// It is this.
    Is {
        /// The manifest for the same platform.
        manifest: Digest,
        /// What the name of it stands on.
        root: Digest,
        /// Its name, where it has one.
        name: Option<String>,
    },
}

impl BaseNote {
    /// Notes it on a manifest. False where that changes nothing.
    pub(super) fn set(&self, annotations: &mut Annotations) -> bool {
        match self {
            BaseNote::AsItWas => false,
            BaseNote::Gone => note(annotations, None, None),
            BaseNote::Is { manifest, name, .. } => note(annotations, Some(manifest), name.as_ref()),
        }
    }

    /// Notes it on what points to the manifest, where something is noted there.
    pub(super) fn update(&self, annotations: &mut Annotations) {
        if has_base(annotations) {
            self.set(annotations);
        }
    }

    /// What was noted, for people.
    pub(super) fn told(&self) -> String {
        match self {
            BaseNote::AsItWas | BaseNote::Gone => "annotations of the base removed: what is at the bottom is no longer the base".to_owned(),
            BaseNote::Is { manifest, name: Some(name), .. } => format!("annotations of the base: {} ({})", text::shown(name), manifest.short()),
            BaseNote::Is { manifest, name: None, .. } => format!("annotations of the base: {manifest}"),
        }
    }
}

/// Notes on an index, where something is noted there, what became of the bases of all its images.
pub(super) fn update_bases<'a>(annotations: &mut Annotations, notes: impl Iterator<Item = &'a BaseNote>) {
    let notes: Vec<&BaseNote> = notes.collect();
    let roots: BTreeSet<_> = notes.iter().map(|note| if let BaseNote::Is { root, name, .. } = note { Some((root, name)) } else { None }).collect();
    if !has_base(annotations) || notes.iter().all(|note| **note == BaseNote::AsItWas) {
        return;
    }
    match roots.first() {
        // One for all of them.
        Some(Some((root, name))) if roots.len() == 1 => note(annotations, Some(root), name.as_ref()),
        _ => note(annotations, None, None),
    };
}

fn has_base(annotations: &Annotations) -> bool {
    annotations.contains_key(annotation::BASE_DIGEST) || annotations.contains_key(annotation::BASE_NAME)
}

fn note(annotations: &mut Annotations, digest: Option<&Digest>, name: Option<&String>) -> bool {
    let before = annotations.clone();
    for (key, value) in [(annotation::BASE_DIGEST, digest.map(ToString::to_string)), (annotation::BASE_NAME, name.cloned())] {
        match value {
            Some(value) => annotations.insert(key.to_owned(), value),
            None => annotations.remove(key),
        };
    }
    *annotations != before
}

/// What differs, for people: the keys.
pub(super) fn changed(old: &Annotations, new: &Annotations) -> Vec<String> {
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(key) != new.get(key)).map(|key| format!("annotation {}", text::shown(key))).collect()
}

fn is_for(spec: &AnnotationSpec, platform: &Platform) -> bool {
    spec.platform.as_ref().is_none_or(|only| is_meant(only, platform))
}
