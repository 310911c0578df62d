//! Which image, and which of its manifests, is meant.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::annotation::{ATTESTATION_MANIFEST, DOCKER_REFERENCE_TYPE};
use crate::spec::{Descriptor, Digest, ImageConfig, ImageIndex, ImageName, Kind, Node, Platform, Selector, limits, links, platform, shape};
use crate::store::Source;

use super::EntryReport;

/// What is meant, and the entries that stand on it.
pub(super) struct Image {
    pub(super) entries: Vec<EntryReport>,
    pub(super) root: Descriptor,
}

/// All images: entries on the same content are one. Fails with kind `not_found` where there are none.
pub(super) fn all(index: &ImageIndex) -> Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    let mut known: HashMap<(&Digest, u64, &str), usize> = HashMap::new();
    for entry in &index.manifests {
        let position = *known.entry((&entry.digest, entry.size, entry.media_type.as_ref())).or_insert(images.len());
        if position == images.len() {
            images.push(Image { entries: Vec::new(), root: plain(entry) });
        }
        images[position].entries.push(entry_report(entry));
    }
    if images.is_empty() { Err(Selector::Only.absent(index)) } else { Ok(images) }
}

/// The image that is meant, with all its names. A digest may also be that of a manifest that the entries only lead to.
///
/// Kinds: as [`Selector::select`].
pub(super) fn one(source: &dyn Source, index: &ImageIndex, selector: &Selector) -> Result<Image> {
    let cannot = |error: Error| error.context(format!("cannot find an image in {}", source.location()));
    match (selector.select(index), selector) {
        (Ok(entry), _) => {
            let same = index.manifests.iter().filter(|other| other.digest == entry.digest);
            Ok(Image { entries: same.map(entry_report).collect(), root: plain(entry) })
        }
        (Err(absent), Selector::Digest(digest)) => match below(source, index, digest)? {
            Some(root) => Ok(Image { entries: Vec::new(), root }),
            None => Err(cannot(absent)),
        },
        (Err(error), _) => Err(cannot(error)),
    }
}

/// An entry without its annotations, which belong to the name.
fn plain(entry: &Descriptor) -> Descriptor {
    Descriptor { platform: entry.platform.clone(), ..entry.bare() }
}

fn entry_report(entry: &Descriptor) -> EntryReport {
    EntryReport { name: ImageName::of(entry).map(|name| name.as_str().to_owned()), annotations: entry.annotations.clone() }
}

/// The descriptor of a document that the entries lead to, level by level. What cannot be read leads nowhere.
fn below(source: &dyn Source, index: &ImageIndex, wanted: &Digest) -> Result<Option<Descriptor>> {
    let mut seen = HashSet::new();
    let mut level: Vec<Descriptor> = index.manifests.clone();
    for _ in 0..limits::INDEX_DEPTH {
        let mut next = Vec::new();
        level.retain(|document| Kind::of(&document.media_type) == Kind::Index && seen.insert(document.digest.clone()));
        for document in &level {
            let children = source.read(document, limits::MANIFEST_BYTES).and_then(|bytes| links::children(document, &bytes));
            match children {
                Ok(children) => next.extend(children.into_iter().map(|child| child.descriptor)),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(_) => {}
            }
        }
        if let Some(found) = next.iter().find(|child| child.digest == *wanted) {
            return Ok(Some(found.clone()));
        }
        level = next;
    }
    Ok(None)
}

/// A manifest that runs somewhere.
struct Candidate {
    manifest: Descriptor,
    platform: Platform,
}

/// The manifest below `root` that serves `wanted` best: of its own architecture, in containerd's order. Fails with kind `not_found` where none does.
pub(super) fn platform(source: &dyn Source, root: &Descriptor, wanted: &Platform) -> Result<Descriptor> {
    let candidates = candidates(source, root)?;
    // What another architecture would run as well is not what was asked for.
    let architecture = wanted.normalized().architecture;
    let same: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.platform.normalized().architecture == architecture).collect();
    let found = platform::select(wanted, same.iter().map(|candidate| &candidate.platform));
    found.map(|position| same[position].manifest.clone()).ok_or_else(|| {
        let error = Error::not_found(format!("there is no image for {wanted}")).subject(&root.digest);
        if candidates.is_empty() { error } else { error.hint(format!("there is one for {}", listed(&candidates))) }
    })
}

/// The manifest below `root` where there is only one that runs somewhere. Fails with kind `usage`, naming the platforms, where there are several.
pub(super) fn only_manifest(source: &dyn Source, root: &Descriptor) -> Result<Descriptor> {
    if Kind::of(&root.media_type) != Kind::Index {
        return Ok(root.clone());
    }
    let mut candidates = candidates(source, root)?;
    match candidates.len() {
        1 => Ok(candidates.remove(0).manifest),
        0 => Err(Error::not_found("it is an index without an image for any platform").subject(&root.digest)),
        _ => Err(Error::usage(format!("there is an image for each of {}", listed(&candidates))).subject(&root.digest).hint("choose one with --platform")),
    }
}

fn listed(candidates: &[Candidate]) -> String {
    candidates.iter().map(|candidate| candidate.platform.to_string()).collect::<Vec<_>>().join(", ")
}

/// The manifests below `root` that run somewhere, in the order of the indexes. Each is read only where nothing else says its platform.
fn candidates(source: &dyn Source, root: &Descriptor) -> Result<Vec<Candidate>> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut stack = vec![(root.clone(), 0)];
    while let Some((document, nesting)) = stack.pop() {
        if !Node::manifest(document.clone()).is_document() || !seen.insert(document.digest.clone()) {
            continue;
        }
        if Kind::of(&document.media_type) == Kind::Index {
            if nesting == limits::INDEX_DEPTH {
                return Err(Error::corrupt(format!("indexes are nested more than {} deep", limits::INDEX_DEPTH)).subject(&root.digest));
            }
            let children = shape::index(&document, &source.read(&document, limits::MANIFEST_BYTES)?)?.manifests;
            stack.extend(children.into_iter().rev().map(|child| (child, nesting + 1)));
        } else if let Some(platform) = runs_on(source, &document)? {
            found.push(Candidate { manifest: document, platform });
        }
    }
    Ok(found)
}

/// What a manifest runs on; none for what runs nowhere.
fn runs_on(source: &dyn Source, document: &Descriptor) -> Result<Option<Platform>> {
    if document.annotation(DOCKER_REFERENCE_TYPE) == Some(ATTESTATION_MANIFEST) || document.artifact_type.is_some() {
        return Ok(None);
    }
    if let Some(platform) = &document.platform {
        return Ok(Some(platform.clone()).filter(|platform| !platform.is_attestation()));
    }
    let manifest = shape::manifest(document, &source.read(document, limits::MANIFEST_BYTES)?)?;
    if super::read::artifact_type(&manifest).is_some() {
        return Ok(None);
    }
    ImageConfig::parse(&source.read(&manifest.config, limits::CONFIG_BYTES)?, limits::CONFIG_BYTES)?.platform().map(Some)
}
